/**
 * One race: a database of its own, sessions of service_role, a clock that stands still, and at the
 * end the ledger proved. A test says who holds the lock and goes on when the other really waits.
 */
import pg from 'pg';
import { expect } from 'vitest';
import { cloneSpread } from '../citus/clones.ts';
import { callAndWaitBlocked } from '../support/blocking.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { startPooler } from '../support/pooler.ts';

export interface Race {
  database: TestDatabase;
  /** The superuser: moves the clock, changes the catalogue, looks who waits. */
  owner: pg.Client;
  /** A new session of service_role. */
  server(): Promise<pg.Client>;
}

export type Scenario = (race: Race) => Promise<void>;

/** Where the clock stands when a race begins. */
export const NOON = '2026-01-10T12:00:00Z';

/** With POOLED=1 pools go through pgbouncer in transaction mode, with two connections; who holds a session does not. */
async function pooled(database: TestDatabase): Promise<TestDatabase> {
  if (!process.env.POOLED) return database;
  const pooler = await startPooler(database.url);
  const pools: pg.Pool[] = [];
  return {
    ...database,
    pool(size) {
      const pool = new pg.Pool({ connectionString: pooler.url, max: size });
      pool.on('error', () => {});
      pools.push(pool);
      return pool;
    },
    async drop() {
      await Promise.allSettled(pools.map((pool) => pool.end()));
      await pooler.stop();
      await database.drop();
    },
  };
}

/** Spread over the nodes of a Citus cluster where npm run test:citus asks for it. */
const { CITUS_DATABASE_URL: cluster, CITUS_TEMPLATE: template } = process.env;
const created = () => (cluster && template ? cloneSpread(cluster, template) : createDatabase());

/** `sabotage` breaks the engine before the race begins; the zoo uses it. */
export async function run(scenario: Scenario, sabotage?: (owner: pg.Client) => Promise<void>) {
  const database = await pooled(await created());
  try {
    const owner = await database.connect();
    await setClock(owner, NOON);
    await applyPlans(owner, limitedTo(50));
    await sabotage?.(owner);
    const server = async () => {
      const client = await (database.connectAnywhere ?? database.connect)();
      await client.query('set role service_role');
      return client;
    };
    await scenario({ database, owner, server });
    const { rows } = await owner.query('select * from public.verify_usage()');
    expect(rows, 'every counter equals its ledger').toEqual([]);
  } finally {
    await database.drop();
  }
}

/** The catalogue of the races. A number is the month's limit of ai_generation on the default plan. */
export const limitedTo = (limit: number | Record<string, number | null>) => ({
  features: { ai_generation: {}, export: {} },
  plans: {
    free: {
      default: true,
      limits: {
        ai_generation: typeof limit === 'number' ? { month: limit } : limit,
        export: { month: 5 },
      },
    },
    small: { limits: { ai_generation: { month: 3 } } },
    pro: { limits: { ai_generation: { month: null }, export: { month: null } } },
  },
});

/** The same with one feature and one plan more; the default plan allows 10 of the feature. */
export const withExtra = {
  features: { ...limitedTo(50).features, extra: {} },
  plans: {
    ...limitedTo(50).plans,
    free: {
      default: true,
      limits: { ...limitedTo(50).plans.free.limits, extra: { month: 10 } },
    },
    extra: { limits: { extra: { month: 1 } } },
  },
};

export interface Use {
  subject: string;
  feature?: string;
  amount?: number;
  key?: string;
}

export interface Decision {
  allowed: boolean;
  reason: string;
  subject: string;
  plan: string;
  amount: number;
  used: number;
  limit: number | null;
  remaining: number | null;
  period_start: string;
  event_id: string;
  replayed: boolean;
}

// As JSON, so that amounts are numbers and the decision is what rpc() would give.
const CONSUME = `
  select to_jsonb(d) as decision
  from public.consume_usage(feature => $1, amount => $2, subject => $3, idempotency_key => $4) as d`;

const parametersOf = ({ feature = 'ai_generation', amount = 1, subject, key }: Use) => [
  feature,
  amount,
  subject,
  key,
];

export async function consume(client: pg.ClientBase | pg.Pool, use: Use): Promise<Decision> {
  const { rows } = await client.query(CONSUME, parametersOf(use));
  return rows[0].decision;
}

/** Starts a call that must wait for somebody, and returns when it does. */
export async function consumeBlocked({ owner }: Race, client: pg.Client, use: Use) {
  return answerOf(await callAndWaitBlocked(owner, client, CONSUME, parametersOf(use)));
}

/** As consumeBlocked, for any other statement. */
export async function queryBlocked(race: Race, client: pg.Client, sql: string, values?: unknown[]) {
  return callAndWaitBlocked(race.owner, client, sql, values);
}

/** The object keeps await from waiting for the answer, too. */
function answerOf({ result }: { result: Promise<pg.QueryResult> }) {
  const answer: Promise<Decision> = result.then(({ rows }) => rows[0].decision);
  answer.catch(() => {}); // whoever awaits it hears of it
  return { answer };
}

export async function check(
  client: pg.ClientBase,
  subject: string,
  feature = 'ai_generation',
): Promise<Decision> {
  const { rows } = await client.query(
    `select to_jsonb(d) as decision from public.check_usage($1, 1, $2) as d`,
    [feature, subject],
  );
  return rows[0].decision;
}

/** The ledger lines of a subject, oldest first; of one instant the largest first. */
export async function ledgerOf(client: pg.ClientBase, subject: string) {
  const { rows } = await client.query(
    `select event_id, kind, feature, used_change::integer as change, at, counts_at, idempotency_key
     from public.usage_events
     where subject = $1
     order by at, used_change desc, event_id`,
    [subject],
  );
  return rows;
}
