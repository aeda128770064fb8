/** Races are made, not hoped for: a test goes on when the other session really waits for a lock. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** The backend's pid, for the functions below. */
export async function pidOf(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query('select pg_backend_pid() as pid');
  return rows[0].pid;
}

/** Returns the pids that block `pid`, as soon as there are any. */
export async function waitUntilBlocked(
  observer: pg.ClientBase,
  pid: number,
  timeout = 5000,
): Promise<number[]> {
  const end = Date.now() + timeout;
  for (;;) {
    const { rows } = await observer.query(
      `select pg_blocking_pids(pid) as blockers, state, wait_event_type, query
       from pg_stat_activity
       where pid = $1`,
      [pid],
    );
    if (rows[0]?.blockers.length) return rows[0].blockers;
    if (Date.now() > end) {
      throw new Error(
        `Session ${pid} was not blocked within ${timeout} ms: ${JSON.stringify(rows[0] ?? 'it is gone')}`,
      );
    }
    await sleep(5);
  }
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
