/**
 * The calls whose instructions are counted, each with the figure it should not pass. Statements stand
 * on one line each: single-user mode ends a statement, and its transaction, at the end of a line.
 */
export interface Row {
  name: string;
  /** Thousands of instructions at most. */
  target?: number;
  /** The signed-in user who calls; otherwise service_role. */
  user?: string;
  /** Once, as the owner, before the role is taken. */
  setup?: string[];
  prepare: string[];
  /** Transactions before the measured one, taken off the figure. */
  before?(i: number): string[];
  call(i: number): string[];
  /** What each of the call's answers looks like; allowed, unless said otherwise. */
  answer?: string;
}

/** The subject that nearly every row calls for. */
const ONE = 'someone';
/** Others that have been seen before: so many that the planner uses the indexes, as with millions. */
const SEEN = 600;
const seen = (i: number) => `user-${i}`;

const HOLD = `prepare hold(text) as select set_config('bench.id', reservation_id::text, false) from public.reserve_usage('ai_generation', 1, $1)`;
const COUNT = `prepare count(text) as select set_config('bench.id', event_id::text, false) from public.consume_usage('ai_generation', 1, $1)`;
const CONSUME = `prepare p(text) as select allowed from public.consume_usage('ai_generation', 1, $1)`;
const KEYED = `prepare p(text, text) as select allowed from public.consume_usage('ai_generation', 1, $1, $2)`;
const CHECK = `prepare p(text) as select allowed from public.check_usage('ai_generation', 1, $1)`;
// As the README asks it: under row level security, without a filter.
const BAR = `prepare p as select bool_and(row(feature, used, "limit", remaining, status, resets_at) is not null) as allowed from public.current_usage`;
const same = (subject: string) => () => [`execute p('${subject}')`];

/** What a subject of each plan may use. */
const MANY = 1_000_000_000;
export const PLANS = {
  features: {
    ai_generation: { name: 'AI generations', unit: 'generation' },
    ai_token: { name: 'AI tokens', unit: 'token' },
    export: { name: 'Exports' },
    kb_file: { name: 'Knowledge base files', kind: 'gauge' },
    image: { costs: { credit: 10 } },
    credit: {},
  },
  plans: {
    free: {
      default: true,
      upgrade_url: '/settings/billing',
      limits: {
        ai_generation: { month: MANY },
        ai_token: { month: MANY },
        export: { month: 5 },
        kb_file: { lifetime: MANY },
      },
    },
    two: { limits: { ai_generation: { day: MANY, month: MANY } } },
    minutes: { limits: { ai_generation: { minute: 10, month: MANY } } },
    small: { limits: { ai_generation: { month: 10 } } },
    team: { limits: { ai_generation: { month: MANY }, credit: { month: MANY } } },
    seats: {
      limits: { ai_generation: { month: MANY } },
      per_member: { ai_generation: { month: MANY } },
    },
    // The README's free plan: five limits of four features.
    bar: {
      limits: {
        ai_generation: { month: 1000, minute: 30 },
        ai_token: { month: 100000 },
        export: { month: 5 },
        kb_file: { lifetime: 10 },
      },
    },
  },
};

/** What the rows find: through the public functions alone, whatever the engine keeps it in. */
export const GROUND = `
  create schema bench;
  create table bench.counters (
    subject text collate "C" primary key, used bigint not null, "limit" bigint not null
  ) with (fillfactor = 70);
  create table bench.lines (
    id bigint generated always as identity primary key,
    subject text not null, amount bigint not null, at timestamptz not null
  );
  create table bench.files (
    id bigint generated always as identity primary key, user_id text not null, name text not null
  );
  create table bench.limited_files (like bench.files including all);
  grant usage on schema bench to public;
  grant select, insert, update on all tables in schema bench to public;
  select quota.limit_table('bench.limited_files', 'kb_file', 'user_id');
  insert into bench.counters select 'user-' || i, 0, ${MANY} from generate_series(1, ${SEEN}) as i;
  insert into bench.counters values ('${ONE}', 0, ${MANY});
  insert into bench.limited_files (user_id, name) values ('${ONE}', 'first');
  select count(public.consume_usage('ai_generation', 1, 'user-' || i, 'seen')) from generate_series(1, ${SEEN}) as i;
  select count(public.commit_usage((public.reserve_usage('ai_generation', 1, 'user-' || i)).reservation_id))
    from generate_series(1, ${SEEN}) as i;
  select public.consume_usage(f, 1, '${ONE}') from unnest(array['ai_generation', 'ai_token']) as f;
  select public.consume_usage('export', 5, '${ONE}');
  select public.set_plan('of two', 'two'), public.set_plan('of minutes', 'minutes'),
    public.set_plan('topped up', 'small'), public.set_plan('past its plan', 'small'), public.set_plan('shown', 'bar');
  select public.consume_usage('ai_generation', 1, s) from unnest(array['of two', 'of minutes']) as s;
  select public.set_plan(s, 'team') from unnest(array['above', 'below', 'of credits']) as s;
  select public.set_parent('below', 'above'), public.set_plan('of seats', 'seats');
  select public.consume_usage('ai_generation', 1, 'below'), public.consume_usage('image', 1, 'of credits'),
    public.consume_usage('ai_generation', 1, 'of seats', actor => 'member');
  select public.grant_usage('ai_generation', ${MANY}, s) from unnest(array['${ONE} with a grant', 'past its plan']) as s;
  select public.consume_usage('ai_generation', 1, '${ONE} with a grant'), public.consume_usage('ai_generation', 11, 'past its plan');`;

export const YARDSTICK = 'bare conditional update';

/** In a month of its own, later than what was used before, that a few thousand minutes do not leave. */
const LATER = `timestamptz '${new Date().getUTCFullYear() + 1}-07-03T00:00:30Z'`;

/** `clock` gives the statement that lets the clock return an expression. */
export const rowsOf = (clock: (value: string) => string): Row[] => [
  {
    name: YARDSTICK,
    prepare: [
      `prepare p(text) as update bench.counters set used = used + 1 where subject = $1 and used + 1 <= "limit" returning true as allowed`,
    ],
    call: same(ONE),
  },
  {
    name: 'the same and a ledger line, without a function',
    prepare: [
      `prepare p(text) as with u as (update bench.counters set used = used + 1 where subject = $1 and used + 1 <= "limit" returning subject) insert into bench.lines (subject, amount, at) select subject, 1, clock_timestamp() from u returning true as allowed`,
    ],
    call: same(ONE),
  },
  { name: 'consume', target: 400, prepare: [CONSUME], call: same(ONE) },
  { name: 'consume, two limits', target: 430, prepare: [CONSUME], call: same('of two') },
  {
    name: 'consume with a key',
    target: 520,
    prepare: [KEYED],
    call: (i) => [`execute p('${ONE}', 'key-${i}')`],
  },
  {
    name: 'consume, each in a new minute',
    target: 600,
    setup: [clock(`${LATER} + txid_current() * interval '1 minute'`)],
    prepare: [CONSUME],
    call: same('of minutes'),
  },
  { name: 'consume over two levels', target: 1000, prepare: [CONSUME], call: same('below') },
  {
    name: 'consume what costs credits',
    target: 1000,
    prepare: [`prepare p(text) as select allowed from public.consume_usage('image', 1, $1)`],
    call: same('of credits'),
  },
  {
    name: 'consume under a member cap',
    target: 1000,
    prepare: [
      `prepare p(text) as select allowed from public.consume_usage('ai_generation', 1, $1, actor => 'member')`,
    ],
    call: same('of seats'),
  },
  {
    name: 'first use of a subject',
    target: 1600,
    prepare: [CONSUME],
    call: (i) => [`execute p('new-${i}')`],
  },
  {
    name: 'refused',
    target: 500,
    prepare: [`prepare p(text) as select allowed from public.consume_usage('export', 1, $1)`],
    call: same(ONE),
    answer: 'allowed = "f"',
  },
  { name: 'check', target: 450, prepare: [CHECK], call: same(ONE) },
  {
    name: 'reserve',
    target: 650,
    prepare: [HOLD],
    call: (i) => [`execute hold('${seen(i)}')`],
    answer: 'set_config = "',
  },
  {
    name: 'reserve and commit',
    target: 1500,
    prepare: [
      HOLD,
      `prepare p(text) as select allowed from public.commit_usage(current_setting('bench.id')::uuid, 1, $1)`,
    ],
    call: () => [`execute hold('${ONE}')`, `execute p('${ONE}')`],
    answer: '(allowed = "t"|set_config = ")',
  },
  {
    name: 'batch of two',
    target: 1200,
    prepare: [
      `prepare p(text) as select bool_and(allowed) as allowed from public.consume_usage_batch('[{"feature":"ai_generation"},{"feature":"ai_token","amount":900}]', $1)`,
    ],
    call: same(ONE),
  },
  {
    name: '32 calls of one subject at once',
    prepare: [
      `prepare p(text) as select bool_and(allowed) as allowed from public.consume_usage_many((select jsonb_agg('{"feature":"ai_generation","amount":1}'::jsonb) from generate_series(1, 32)), $1)`,
    ],
    call: same(ONE),
  },
  {
    name: 'the usage bar, five limits',
    target: 1200,
    user: 'shown',
    // In a minute that stands still, and in which everything was used.
    setup: [
      clock(LATER),
      `select public.consume_usage(f, 1, 'shown') from unnest(array['ai_generation', 'ai_token', 'export', 'kb_file']) as f`,
    ],
    prepare: [BAR],
    call: () => ['execute p'],
    answer: 'allowed = "',
  },
  {
    name: 'replayed',
    prepare: [KEYED],
    call: () => [`execute p('${ONE}', 'the same')`],
  },
  {
    name: 'enforce',
    prepare: [
      `prepare p(text) as select allowed from public.enforce_usage('ai_generation', 1, $1)`,
    ],
    call: same(ONE),
  },
  {
    name: 'commit',
    prepare: [
      HOLD,
      `prepare p(text) as select allowed from public.commit_usage(current_setting('bench.id')::uuid, 1, $1)`,
    ],
    before: (i) => [`execute hold('${seen(i)}')`],
    call: (i) => [`execute p('${seen(i)}')`],
  },
  {
    name: 'release',
    prepare: [
      HOLD,
      `prepare p(text) as select allowed from public.release_usage(current_setting('bench.id')::uuid, $1)`,
    ],
    before: (i) => [`execute hold('${seen(i)}')`],
    call: (i) => [`execute p('${seen(i)}')`],
  },
  {
    name: 'refund',
    prepare: [
      COUNT,
      `prepare p(text) as select allowed from public.refund_usage(current_setting('bench.id')::uuid, subject => $1)`,
    ],
    before: (i) => [`execute count('${seen(i)}')`],
    call: (i) => [`execute p('${seen(i)}')`],
  },
  {
    name: 'consume by a signed-in user',
    user: ONE,
    prepare: [`prepare p as select allowed from public.consume_usage('ai_generation')`],
    call: () => ['execute p'],
  },
  {
    name: 'check by a signed-in user',
    user: ONE,
    prepare: [`prepare p as select allowed from public.check_usage('ai_generation')`],
    call: () => ['execute p'],
  },
  {
    name: 'consume, an open grant not needed yet',
    prepare: [CONSUME],
    call: same(`${ONE} with a grant`),
  },
  { name: 'consume from a grant', prepare: [CONSUME], call: same('past its plan') },
  {
    name: 'insert of a row',
    prepare: [
      `prepare p(text) as insert into bench.files (user_id, name) values ($1, 'a file') returning true as allowed`,
    ],
    call: same(ONE),
  },
  {
    name: 'insert of a row, limited table',
    prepare: [
      `prepare p(text) as insert into bench.limited_files (user_id, name) values ($1, 'a file') returning true as allowed`,
    ],
    call: same(ONE),
  },
];
