/** The calls that are compared on the server itself, and what they find there. */
import type pg from 'pg';
import { clockReturning } from '../support/clock.ts';
import type { Script } from './drivers.ts';

export interface Call extends Script {
  name: string;
  /** The clock while it runs: this many times faster. */
  hurry?: number;
}

const MANY = 1_000_000_000;

export const PLANS = {
  features: {
    ai_generation: { name: 'AI generations' },
    ai_token: { name: 'AI tokens' },
    image: { name: 'Images' },
    chat: { name: 'Messages' },
    export: { name: 'Exports' },
    kb_file: { name: 'Files', kind: 'gauge' },
  },
  plans: {
    free: {
      default: true,
      limits: {
        ai_generation: { month: MANY },
        ai_token: { month: MANY },
        image: { day: MANY, month: MANY },
        chat: { minute: 10, month: MANY },
        export: { month: 1 },
        kb_file: { lifetime: MANY },
      },
    },
    hundred: { limits: { ai_generation: { month: 100 } } },
  },
};

export const BARE = 'bare conditional update';
export const CONSUME = 'consume';

const anyOf = (subjects: number) => `\\set n random(1, ${subjects})`;
const UPDATE = `update bench.counters set used = used + 1 where subject = 'user-' || :n and used + 1 <= "limit" returning used;`;
const consume = (feature: string, key = '', who = 'user-') =>
  `select allowed from public.consume_usage('${feature}', 1, '${who}' || :n${key});`;
const BAR = `select feature, used, "limit", remaining, status, resets_at from public.current_usage;`;
const AS_USER = `select set_config('request.jwt.claims', '{"sub":"user-' || :n || '"}', false);`;

export const bare = (subjects: number): Call => ({
  name: BARE,
  lines: [anyOf(subjects), UPDATE],
});

export const plainConsume = (subjects: number): Call => ({
  name: CONSUME,
  lines: [anyOf(subjects), consume('ai_generation')],
});

export const check = (subjects: number): Call => ({
  name: 'check',
  lines: [
    anyOf(subjects),
    `select allowed from public.check_usage('ai_generation', 1, 'user-' || :n);`,
  ],
});

export const bar = (subjects: number): Call => ({
  name: 'the usage bar of a signed-in user (two statements)',
  role: 'authenticated',
  lines: [anyOf(subjects), AS_USER, BAR],
});

export const callsOf = (subjects: number): Call[] => [
  bare(subjects),
  {
    name: 'the same and a ledger line, without a function',
    lines: [
      anyOf(subjects),
      `with u as (${UPDATE.replace('returning used;', 'returning subject')}) insert into bench.lines (subject, amount, at) select subject, 1, clock_timestamp() from u returning id;`,
    ],
  },
  plainConsume(subjects),
  {
    name: 'consume with a key',
    lines: [
      anyOf(subjects),
      '\\set k random(1, 9000000000000)',
      consume('ai_generation', `, 'key-' || :k`),
    ],
  },
  { name: 'consume, two limits', lines: [anyOf(subjects), consume('image')] },
  {
    name: 'consume, each in a new minute',
    hurry: 200,
    // Subjects of its own: for the others the clock does not go back.
    lines: [anyOf(subjects), consume('chat', '', 'chatter-')],
  },
  { name: 'refused', lines: [anyOf(subjects), consume('export')] },
  { name: 'replayed', lines: [anyOf(subjects), consume('ai_generation', `, 'the same'`)] },
  check(subjects),
  {
    name: 'batch of two',
    lines: [
      anyOf(subjects),
      `select bool_and(allowed) from public.consume_usage_batch('[{"feature":"ai_generation"},{"feature":"ai_token","amount":900}]', 'user-' || :n);`,
    ],
  },
  bar(subjects),
];

/** Work that is checked before and known after, beside two calls that count at once. */
export const pairsOf = (subjects: number): Call[] => [
  {
    name: 'two consumes',
    lines: [anyOf(subjects), consume('ai_generation'), consume('ai_generation')],
  },
  {
    name: 'reserve and commit',
    lines: [
      anyOf(subjects),
      `select reservation_id as id from public.reserve_usage('ai_generation', 1, 'user-' || :n) \\gset`,
      `select allowed from public.commit_usage(:id, 1, 'user-' || :n);`,
    ],
  },
];

export async function prepareCalls(client: pg.ClientBase): Promise<void> {
  await client.query('select public.apply_plans($1)', [JSON.stringify(PLANS)]);
  await client.query(`
    create schema bench;
    create table bench.counters (
      subject text collate "C" primary key, used bigint not null, "limit" bigint not null
    ) with (fillfactor = 70);
    create table bench.lines (
      id bigint generated always as identity primary key,
      subject text not null, amount bigint not null, at timestamptz not null
    );
    grant usage on schema bench to service_role;
    grant select, insert, update on all tables in schema bench to service_role`);
}

/** Subjects from..to have used what the calls use: through the public functions, as an app does. */
export async function useOnce(client: pg.ClientBase, from: number, to: number, all: boolean) {
  const features = all
    ? `array['ai_generation', 'ai_token', 'image', 'export']`
    : `array['ai_generation']`;
  await client.query(
    `insert into bench.counters select 'user-' || i, 0, ${MANY} from generate_series($1::int, $2::int) as i`,
    [from, to],
  );
  await client.query(
    `select count(public.consume_usage(f, 1, 'user-' || i))
     from generate_series($1::int, $2::int) as i, unnest(${features}) as f`,
    [from, to],
  );
  if (!all) return;
  await client.query(
    `select
       count(public.consume_usage('ai_generation', 1, 'user-' || i, 'the same')),
       count(public.consume_usage('chat', 1, 'chatter-' || i))
     from generate_series($1::int, $2::int) as i`,
    [from, to],
  );
}

/** Lines from..to of the ledger, one call each: pieces side by side are of different subjects. */
export async function addLines(client: pg.ClientBase, from: number, to: number, subjects: number) {
  await client.query(
    `select count(public.consume_usage('ai_generation', 1, 'user-' || 1 + i % $3::int))
     from generate_series($1::int, $2::int) as i`,
    [from, to, subjects],
  );
}

/** Lets the clock run faster from `since` on, or again as it does. */
export async function hurryClock(client: pg.ClientBase, times: number, since: Date) {
  const start = `timestamptz '${since.toISOString()}'`;
  const value =
    times === 1 ? 'clock_timestamp()' : `${start} + (clock_timestamp() - ${start}) * ${times}`;
  await client.query(await clockReturning(client, value));
}
