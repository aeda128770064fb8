/** Ways to count one use from a Node process, each limited to `limit` a subject: ours, and what apps do. */
import pRetry from 'p-retry';
import pg from 'pg';
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible';

export interface Way {
  name: string;
  /** Counts one use of a subject; whether it was allowed. */
  call(pool: pg.Pool, subject: string): Promise<boolean>;
}

const named = (name: string, text: string, ...values: unknown[]) => ({ name, text, values });

async function inTransaction(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<boolean>) {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const allowed = await work(client);
    await client.query('commit');
    return allowed;
  } finally {
    client.release();
  }
}

const PLAN = 'select "limit" from bench.counters where subject = $1';
const UPSERT = `insert into bench.usage_tracking (user_id, type, count) values ($1, 'ai_generation', 1)
  on conflict (user_id, type) do update set count = bench.usage_tracking.count + 1`;
const COUNT = `select count from bench.usage_tracking where user_id = $1 and type = 'ai_generation'`;
const hasRoom = (plan: pg.QueryResult, usage: pg.QueryResult) =>
  Number(usage.rows[0]?.count ?? 0) + 1 <= Number(plan.rows[0].limit);

const ways: Way[] = [
  {
    name: 'bare conditional update',
    async call(pool, subject) {
      const text = `update bench.counters set used = used + 1
        where subject = $1 and used + 1 <= "limit" returning used`;
      return (await pool.query(named('bare', text, subject))).rowCount === 1;
    },
  },
  {
    name: 'consume',
    async call(pool, subject) {
      const text = `select allowed from public.consume_usage('ai_generation', 1, $1)`;
      return (await pool.query(named('consume', text, subject))).rows[0].allowed;
    },
  },
  {
    // As it stands in most apps: read the plan's limit, read the count, compare, write it back.
    name: 'select, select, upsert in the app',
    async call(pool, subject) {
      const plan = await pool.query(named('app-plan', PLAN, subject));
      const usage = await pool.query(named('app-count', COUNT, subject));
      if (!hasRoom(plan, usage)) return false;
      await pool.query(named('app-upsert', UPSERT, subject));
      return true;
    },
  },
  {
    // The row is locked before it is read, and there is a ledger.
    name: 'its correct form: transaction, for update, ledger',
    call: (pool, subject) =>
      inTransaction(pool, async (client) => {
        const plan = await client.query(named('app-plan', PLAN, subject));
        const first = `insert into bench.usage_tracking values ($1, 'ai_generation', 0) on conflict do nothing`;
        await client.query(named('app-first', first, subject));
        const usage = await client.query(named('app-lock', `${COUNT} for update`, subject));
        if (!hasRoom(plan, usage)) return false;
        await client.query(named('app-upsert', UPSERT, subject));
        const line = 'insert into bench.lines (subject, amount, at) values ($1, 1, now())';
        await client.query(named('app-line', line, subject));
        return true;
      }),
  },
];

/** `limit` is for the peers that take it from the caller. */
export async function waysOf(pool: pg.Pool, limit: number): Promise<Way[]> {
  const limiter = await new Promise<RateLimiterPostgres>((resolve, reject) => {
    const made: RateLimiterPostgres = new RateLimiterPostgres(
      {
        storeClient: pool,
        schemaName: 'bench',
        tableName: 'rate_limits',
        points: limit,
        duration: 30 * 24 * 3600,
        clearExpiredByTimeout: false,
      },
      (error) => (error ? reject(error) : resolve(made)),
    );
  });
  const flexible: Way = {
    // It knows no plan, keeps no ledger and asks for no identity.
    name: 'rate-limiter-flexible',
    async call(_, subject) {
      try {
        await limiter.consume(subject);
        return true;
      } catch (refusal) {
        if (refusal instanceof RateLimiterRes) return false;
        throw refusal;
      }
    },
  };
  return [...ways, flexible];
}

export async function prepareWays(client: pg.ClientBase): Promise<void> {
  await client.query(`
    create table bench.usage_tracking (
      user_id text, type text, count bigint not null, primary key (user_id, type)
    ) with (fillfactor = 70);
    insert into bench.usage_tracking select subject, 'ai_generation', 0 from bench.counters;
    grant usage, create on schema bench to service_role;
    grant select, insert, update on all tables in schema bench to service_role`);
}

const LIMIT = 100;
const CALLERS = 32;

/** A crowd at one row on a slow disk: who waited 2 s is told to call again (55P03), and does. */
const patiently = <T>(call: () => Promise<T>) =>
  pRetry(call, {
    retries: 20,
    minTimeout: 0,
    shouldRetry: ({ error }) => (error as pg.DatabaseError).code === '55P03',
  });

/** How many of 400 calls, 32 at a time, get through a limit of 100. */
export async function overshoot(url: string): Promise<Record<string, number>> {
  const pool = new pg.Pool({
    connectionString: url,
    max: CALLERS,
    options: '-c role=service_role',
  });
  try {
    const allowed: Record<string, number> = {};
    for (const way of await waysOf(pool, LIMIT)) {
      const subject = `hot ${way.name}`;
      await pool.query('insert into bench.counters values ($1, 0, $2)', [subject, LIMIT]);
      await pool.query(`select public.set_plan($1, 'hundred')`, [subject]);
      const answers: boolean[] = [];
      let left = 4 * LIMIT;
      await Promise.all(
        Array.from({ length: CALLERS }, async () => {
          while (left-- > 0) answers.push(await patiently(() => way.call(pool, subject)));
        }),
      );
      allowed[way.name] = answers.filter(Boolean).length;
    }
    return allowed;
  } finally {
    await pool.end();
  }
}
