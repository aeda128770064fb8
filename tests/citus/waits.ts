/**
 * Who waits for whom when a call's statements run in sessions of other nodes. A session is named by Citus's
 * global pid, which those that work for it on other nodes have, too.
 */
import type pg from 'pg';

export async function globalPidOf(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query('select citus_backend_gpid()::float8 as pid');
  return rows[0].pid;
}

/** From each node, what the command gives there: one value of json. */
async function askNodes<Answer>(observer: pg.ClientBase, command: string): Promise<Answer[]> {
  const { rows } = await observer.query(
    'select success, result from run_command_on_all_nodes($1)',
    [command],
  );
  const failed = rows.find(({ success }) => !success);
  if (failed) throw new Error(`A node does not answer: ${failed.result}`);
  return rows.map(({ result }) => JSON.parse(result));
}

/** The global pids that block `pid` on any node; 0 is a transaction that is prepared. */
export async function blockersOf(observer: pg.ClientBase, pid: number): Promise<number[]> {
  const answers = await askNodes<number[]>(
    observer,
    `select coalesce(json_agg(distinct coalesce(h.global_pid, b.pid)), '[]')
     from get_all_active_transactions() as w
     cross join unnest(pg_blocking_pids(w.process_id)) as b (pid)
     left join get_all_active_transactions() as h on h.process_id = b.pid
     where w.global_pid = ${pid}`,
  );
  return [...new Set(answers.flat())];
}

/** What the sessions of `pid` are at, for the message of a test that waits in vain. */
export async function activityOf(observer: pg.ClientBase, pid: number): Promise<unknown[]> {
  const answers = await askNodes<unknown[]>(
    observer,
    `select coalesce(json_agg(json_build_object('state', a.state, 'wait', a.wait_event_type, 'query', a.query)), '[]')
     from get_all_active_transactions() as w
     join pg_stat_activity as a on a.pid = w.process_id
     where w.global_pid = ${pid}`,
  );
  return answers.flat();
}
