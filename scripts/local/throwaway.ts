/** A server that lives as long as one piece of work: nothing in it, fast, deleted afterwards. */
import { accessSync, chmodSync, constants, mkdtempSync, rmSync, statfsSync } from 'node:fs';
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

/**
 * A folder for a server that nobody will miss: in memory where there is plenty of it. Each database is 300
 * files, and a disk's file system took three quarters of the time in which one is made, used and dropped.
 */
export function throwawayFolder(prefix: string): string {
  const folder = mkdtempSync(join(hasMemory() ? MEMORY : tmpdir(), prefix));
  chmodSync(folder, 0o711); // as root, Postgres runs as somebody else
  return folder;
}

/** Linux: a file system that is in memory, and small in most containers. */
const MEMORY = '/dev/shm';
const GIGABYTE = 2 ** 30;

function hasMemory(): boolean {
  try {
    accessSync(MEMORY, constants.W_OK);
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize > 4 * GIGABYTE && process.availableMemory() > 6 * GIGABYTE;
  } catch {
    return false;
  }
}

export async function withThrowaway<T>(use: (server: Throwaway) => Promise<T>): Promise<T> {
  const folder = throwawayFolder('pgquota-');
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
