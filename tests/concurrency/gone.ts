/** What a client looks like to the server when its machine is gone. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { isGone } from '../support/blocking.ts';
import type { Race } from './race.ts';

export const dropConnection = (client: pg.Client) =>
  (
    client as unknown as { connection: { stream: { destroy(): void } } }
  ).connection.stream.destroy();

/** As a server that stops does. A number of the text: its size says which function of that name is meant. */
export const terminate = ({ owner }: Race, pid: number) =>
  owner.query(`select pg_terminate_backend(${pid})`);

export async function waitUntilGone({ owner }: Race, pid: number) {
  while (!(await isGone(owner, pid))) await sleep(10);
}
