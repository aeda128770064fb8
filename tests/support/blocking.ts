/** Races are made, not hoped for: a test goes on when the other session really waits for a lock. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { activityOf, blockersOf, globalPidOf } from '../citus/waits.ts';

/** Where statements of a session are carried out by sessions of other nodes (npm run test:citus). */
const isSpread = process.env.CITUS_TEMPLATE !== undefined;

/** The backend's pid, for the functions below; of several nodes, the one that it has on all of them. */
export async function pidOf(client: pg.ClientBase): Promise<number> {
  if (isSpread) return globalPidOf(client);
  const { rows } = await client.query('select pg_backend_pid() as pid');
  return rows[0].pid;
}

async function look(observer: pg.ClientBase, pid: number) {
  if (isSpread) {
    const blockers = await blockersOf(observer, pid);
    return { blockers, activity: await activityOf(observer, pid) };
  }
  const { rows } = await observer.query(
    `select pg_blocking_pids(pid) as blockers, state, wait_event_type, query
     from pg_stat_activity
     where pid = $1`,
    [pid],
  );
  return { blockers: (rows[0]?.blockers ?? []) as number[], activity: rows as unknown[] };
}

/** Returns the pids that block `pid`, as soon as there are any. */
export async function waitUntilBlocked(
  observer: pg.ClientBase,
  pid: number,
  timeout = 5000,
): Promise<number[]> {
  const end = Date.now() + timeout;
  for (;;) {
    const { blockers, activity } = await look(observer, pid);
    if (blockers.length) return blockers;
    if (Date.now() > end) {
      throw new Error(
        `Session ${pid} was not blocked within ${timeout} ms: ${activity.length ? JSON.stringify(activity) : 'it is gone'}`,
      );
    }
    await sleep(5);
  }
}

/** Whether no node has such a backend. */
export async function isGone(observer: pg.ClientBase, pid: number): Promise<boolean> {
  const { activity } = await look(observer, pid);
  return activity.length === 0;
}

/**
 * Starts a call that must block and returns once it does. The call goes on when the test releases
 * the lock; await `result` then.
 */
export async function callAndWaitBlocked<Row extends pg.QueryResultRow = pg.QueryResultRow>(
  observer: pg.ClientBase,
  client: pg.ClientBase,
  sql: string,
  parameters: unknown[] = [],
): Promise<{ result: Promise<pg.QueryResult<Row>>; blockers: number[] }> {
  const pid = await pidOf(client);
  const result = client.query<Row>(sql, parameters);
  const early = result.then(
    () => Promise.reject(new Error(`The call returned instead of waiting for a lock: ${sql}`)),
    (error) => Promise.reject(error),
  );
  early.catch(() => {});
  const blockers = await Promise.race([waitUntilBlocked(observer, pid), early]);
  return { result, blockers };
}
