/** A server that lives as long as one piece of work: nothing in it, fast, deleted afterwards. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withClient } from './client.ts';
import { startPostgres } from './postgres.ts';
import { ensureApiRoles } from './roles.ts';
import { guardFolder } from './warden.ts';

/** `create` makes an empty database, of the superuser or of `owner`, and gives its url. */
export interface Throwaway {
  adminUrl: string;
  create(name: string, owner?: string): Promise<string>;
}

export async function withThrowaway<T>(use: (server: Throwaway) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-'));
  chmodSync(folder, 0o711); // as root, Postgres runs as somebody else
  const release = guardFolder(folder);
  try {
    const postgres = await startPostgres({ dataDirectory: join(folder, 'data'), durable: false });
    try {
      const adminUrl = postgres.url();
      await withClient(adminUrl, ensureApiRoles);
      return await use({
        adminUrl,
        async create(name, owner = 'postgres') {
          await withClient(adminUrl, (admin) =>
            admin.query(`create database "${name}" owner "${owner}"`),
          );
          return postgres.url(name);
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
