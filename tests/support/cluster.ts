/**
 * One throwaway server for a whole test run, with two databases to clone: `template_migrated` and
 * `template_empty` (the roles and what a Supabase project has before any migration).
 */
import { readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { type Postgres, startPostgres } from '../../scripts/local/postgres.ts';
import { ensureRoles } from '../../scripts/local/roles.ts';
import { throwawayFolder } from '../../scripts/local/throwaway.ts';
import { guardFolder } from '../../scripts/local/warden.ts';
import { grantLikeSupabase } from './privileges.ts';

/** All that a test file needs to reach the server; plain data, since it crosses processes. */
export interface Cluster {
  adminUrl: string;
  authenticator: { user: string; password: string };
}

export const MIGRATED = 'template_migrated';
export const EMPTY = 'template_empty';

export async function startCluster(): Promise<{ cluster: Cluster; stop(): Promise<void> }> {
  const folder = throwawayFolder('pgquota-test-');
  const release = guardFolder(folder);
  let postgres: Postgres | undefined;
  const stop = async () => {
    await postgres?.remove();
    rmSync(folder, { recursive: true, force: true });
    release();
  };
  try {
    postgres = await startPostgres({ dataDirectory: join(folder, 'data'), durable: false });
    const authenticator = await withClient(postgres.url(), ensureRoles);
    await createTemplates(postgres);
    return { cluster: { adminUrl: postgres.url(), authenticator }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The url of another database on the same server, for the superuser or another login. */
export function urlOf(
  cluster: Cluster,
  database: string,
  login?: Cluster['authenticator'],
): string {
  const url = new URL(cluster.adminUrl);
  url.pathname = `/${database}`;
  if (login) Object.assign(url, { username: login.user, password: login.password });
  return url.href;
}

async function createTemplates(postgres: Postgres): Promise<void> {
  await withClient(postgres.url(), (admin) => admin.query(`create database ${EMPTY}`));
  await withClient(postgres.url(EMPTY), async (client) => {
    await client.query(`
      create schema extensions;
      grant usage on schema extensions to public;
      set search_path = extensions;`);
    await client.query(pgTap());
  });
  await withClient(postgres.url(), (admin) =>
    admin.query(`create database ${MIGRATED} template ${EMPTY}`),
  );
  await withClient(postgres.url(MIGRATED), grantLikeSupabase);
  await migrate(postgres.url(MIGRATED));
}

/** pgTAP as plain SQL: the server lacks the extension, and its functions are all that tests use. */
export function pgTap(): string {
  const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite-pgtap');
  const archive = gunzipSync(readFileSync(join(entry, '../../dist/pgtap.tar.gz')));
  return fileOfTar(archive, 'share/postgresql/extension/pgtap--1.3.5.sql');
}

/** tar: blocks of 512 bytes, a header (name at 0, size in octal at 124) before each file. */
function fileOfTar(archive: Buffer, name: string): string {
  for (let at = 0; at + 512 <= archive.length; ) {
    const header = archive.subarray(at, at + 512);
    const entry = header.toString('latin1', 0, 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(header.toString('latin1', 124, 136), 8) || 0;
    if (entry === name) return archive.toString('utf8', at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new Error(`pgTAP's archive holds no ${name}`);
}
