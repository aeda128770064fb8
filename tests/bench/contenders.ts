/** The ways to count one use that the bench compares; each limited to `limit` per subject. */
import pg from 'pg';

export interface Contender {
  name: string;
  /** Counts one use of a subject; whether it was allowed. */
  call(client: pg.ClientBase, subject: string): Promise<boolean>;
}

const UNLIMITED = 1_000_000_000;

export const contenders: Contender[] = [
  {
    name: 'bare conditional update',
    async call(client, subject) {
      const { rowCount } = await client.query({
        name: 'bare',
        text: `update bench.counters set used = used + 1
               where subject = $1 and used + 1 <= "limit" returning used`,
        values: [subject],
      });
      return rowCount === 1;
    },
  },
  {
    name: 'consume_usage',
    async call(client, subject) {
      const { rows } = await client.query({
        name: 'consume',
        text: `select allowed from public.consume_usage('ai_generation', 1, $1)`,
        values: [subject],
      });
      return rows[0].allowed;
    },
  },
  {
    // As it stands in most apps: read the plan's limit, read the count, compare, write it back.
    name: 'select, compare, upsert in the app',
    async call(client, subject) {
      const { rows: plans } = await client.query({
        name: 'app-plan',
        text: 'select "limit" from bench.counters where subject = $1',
        values: [subject],
      });
      const { rows: usage } = await client.query({
        name: 'app-usage',
        text: 'select count from bench.usage_tracking where user_id = $1 and type = $2',
        values: [subject, 'ai_generation'],
      });
      const count = usage[0]?.count ?? 0;
      if (Number(count) + 1 > Number(plans[0].limit)) return false;
      await client.query({
        name: 'app-write',
        text: `insert into bench.usage_tracking (user_id, type, count) values ($1, $2, 1)
               on conflict (user_id, type) do update set count = bench.usage_tracking.count + 1`,
        values: [subject, 'ai_generation'],
      });
      return true;
    },
  },
];

const hold = async (client: pg.ClientBase, subject: string): Promise<string> => {
  const { rows } = await client.query({
    name: 'reserve',
    text: `select reservation_id from public.reserve_usage('ai_generation', 1, $1)`,
    values: [subject],
  });
  return rows[0].reservation_id;
};

/** Work that is checked before and known after, beside two calls that count at once. */
export const pairs: Contender[] = [
  {
    name: 'two consumes',
    async call(client, subject) {
      const [, consume] = contenders as [Contender, Contender];
      return (await consume.call(client, subject)) && consume.call(client, subject);
    },
  },
  {
    name: 'reserve + commit',
    async call(client, subject) {
      const { rows } = await client.query({
        name: 'commit',
        text: `select allowed from public.commit_usage($1, 1, $2)`,
        values: [await hold(client, subject), subject],
      });
      return rows[0].allowed;
    },
  },
];

export async function prepare(client: pg.ClientBase, subjects: number): Promise<void> {
  await client.query(`
    create schema bench;
    create table bench.counters (
      subject text collate "C" primary key, used bigint not null, "limit" bigint not null
    ) with (fillfactor = 70);
    create table bench.usage_tracking (
      user_id text, type text, count bigint not null, primary key (user_id, type)
    ) with (fillfactor = 70);
    grant usage on schema bench to service_role;
    grant select, insert, update on all tables in schema bench to service_role;
    insert into bench.counters
      select 'user-' || i, 0, ${UNLIMITED} from generate_series(0, ${subjects - 1}) as i;
    insert into bench.usage_tracking
      select 'user-' || i, 'ai_generation', 0 from generate_series(0, ${subjects - 1}) as i`);
  await setLimit(client, UNLIMITED);
  await client.query(
    `select count(public.consume_usage('ai_generation', 1, 'user-' || i))
     from generate_series(0, ${subjects - 1}) as i`,
  );
  await client.query('vacuum analyze');
  await client.query('checkpoint');
}

const setLimit = (client: pg.ClientBase, limit: number) =>
  client.query('select public.apply_plans($1)', [
    JSON.stringify({
      features: { ai_generation: {} },
      plans: { free: { default: true, limits: { ai_generation: { month: limit } } } },
    }),
  ]);

/** How many of 400 calls by 32 concurrent callers get through a limit of 100. */
export async function overshoot(url: string, contender: Contender): Promise<number> {
  const pool = new pg.Pool({ connectionString: url, max: 32 });
  const subject = `hot ${contender.name}`;
  const client = await pool.connect();
  await setLimit(client, 100);
  await client.query('insert into bench.counters values ($1, 0, 100)', [subject]);
  client.release();
  const calls = Array.from({ length: 400 }, async () => {
    const caller = await pool.connect();
    try {
      return await contender.call(caller, subject);
    } finally {
      caller.release();
    }
  });
  const allowed = (await Promise.all(calls)).filter(Boolean).length;
  await pool.end();
  return allowed;
}
