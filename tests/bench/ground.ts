/** The durable server of the bench, and databases in it that are migrated and in use. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { startPostgres } from '../../scripts/local/postgres.ts';
import { ensureRoles, type Login } from '../../scripts/local/roles.ts';
import { guardFolder } from '../../scripts/local/warden.ts';
import { addLines, prepareCalls, useOnce } from './calls.ts';
import type { Size } from './knobs.ts';

/** A statement at a time of a preparation: small enough to show progress. */
const STEP = 5_000;
const SESSIONS = 4;

export interface Server {
  pid: number;
  login: Login;
  url(database: string, login?: Login): string;
  /** A database of this name with `size.subjects` that have used something. */
  create(name: string, size: Size, all?: boolean): Promise<string>;
}

export async function withServer<T>(use: (server: Server) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-bench-'));
  chmodSync(folder, 0o711); // as root, Postgres runs as somebody else
  const release = guardFolder(folder);
  try {
    const postgres = await startPostgres({ dataDirectory: join(folder, 'data'), durable: true });
    try {
      const login = await withClient(postgres.url(), ensureRoles);
      const url = (database: string, as?: Login) => postgres.url(database, as?.user, as?.password);
      return await use({
        pid: postgres.pid,
        login,
        url,
        async create(name, size, all = false) {
          await withClient(postgres.url(), (admin) => admin.query(`create database ${name}`));
          await fill(url(name), name, size, all);
          return url(name);
        },
      });
    } finally {
      await postgres.remove();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
    release();
  }
}

async function fill(url: string, name: string, { subjects, lines }: Size, all: boolean) {
  await migrate(url);
  await withClient(url, prepareCalls);
  // A line's subject is there before it: no two sessions make the same one.
  await inSessions(url, `${name}: subjects`, subjects, (client, from, to) =>
    useOnce(client, from, to, all),
  );
  await inSessions(url, `${name}: more lines`, lines - subjects, (client, from, to) =>
    addLines(client, from, to, subjects),
  );
  await withClient(url, async (client) => {
    await client.query('vacuum analyze');
    await client.query('checkpoint');
  });
}

type Work = (client: pg.ClientBase, from: number, to: number) => Promise<unknown>;

/** 1..total in pieces, some at a time. */
async function inSessions(url: string, what: string, total: number, work: Work): Promise<void> {
  let next = 1;
  let done = 0;
  const session = async (client: pg.ClientBase) => {
    while (next <= total) {
      const from = next;
      next += STEP;
      const to = Math.min(from + STEP - 1, total);
      await work(client, from, to);
      const before = done;
      done += to - from + 1;
      const [tenths, last] = [done, before].map((n) => Math.floor((10 * n) / total));
      if (tenths !== last) console.log(`  ${what}  ${done} of ${total}`);
    }
  };
  await Promise.all(Array.from({ length: SESSIONS }, () => withClient(url, session)));
}
