/** What a client looks like to the server when its machine is gone. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Race } from './race.ts';

export const dropConnection = (client: pg.Client) =>
  (
    client as unknown as { connection: { stream: { destroy(): void } } }
  ).connection.stream.destroy();

export async function waitUntilGone({ owner }: Race, pid: number) {
  for (;;) {
    const { rowCount } = await owner.query('select from pg_stat_activity where pid = $1', [pid]);
    if (!rowCount) return;
    await sleep(10);
  }
}
