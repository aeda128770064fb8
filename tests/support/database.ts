/** A database of its own for a test file or a test: a clone of a template, in a few dozen ms. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { type Cluster, EMPTY, MIGRATED, urlOf } from './cluster.ts';

export interface TestDatabase {
  name: string;
  /** As the superuser. */
  url: string;
  /** As the role PostgREST signs in with. */
  authenticatorUrl: string;
  /** A session of the superuser. Ended by drop(), or by the test. */
  connect(): Promise<pg.Client>;
  /** The same through each node in turn, where there are several (citus/clones). */
  connectAnywhere?(): Promise<pg.Client>;
  pool(size: number): pg.Pool;
  drop(): Promise<void>;
}

export interface DatabaseOptions {
  /** migrated: ready to use, catalogue empty. empty: roles and pgTAP only, to migrate into. blank: roles only. */
  from?: 'migrated' | 'empty' | 'blank';
  cluster?: Cluster;
}

export async function createDatabase(options: DatabaseOptions = {}): Promise<TestDatabase> {
  const cluster = options.cluster ?? inject('cluster');
  const name = `test_${randomBytes(6).toString('hex')}`;
  const template = { migrated: MIGRATED, empty: EMPTY, blank: 'template0' }[
    options.from ?? 'migrated'
  ];
  await withClient(cluster.adminUrl, async (admin) => {
    // A copy of its files, not of its pages through the log: half of the work, and hundreds are made.
    await admin.query(`create database ${name} template ${template} strategy file_copy`);
    // Supabase's lints look only at schemas that REST exposes, and learn them from here.
    await admin.query(`alter database ${name} set pgrst.db_schemas = 'public'`);
  });

  const url = urlOf(cluster, name);
  const open = new Set<{ end(): Promise<void> }>();
  return {
    name,
    url,
    authenticatorUrl: urlOf(cluster, name, cluster.authenticator),
    async connect() {
      const client = new pg.Client(url);
      client.on('error', () => {}); // a killed server; the query at hand rejects anyway
      await client.connect();
      open.add(client);
      client.once('end', () => open.delete(client));
      return client;
    },
    pool(size) {
      const pool = new pg.Pool({ connectionString: url, max: size });
      pool.on('error', () => {});
      open.add(pool);
      return pool;
    },
    async drop() {
      // By force first: a session that still waits for a lock would never end by itself.
      await withClient(cluster.adminUrl, (admin) =>
        admin.query(`drop database ${name} with (force)`),
      );
      await Promise.allSettled([...open].map((one) => one.end()));
    },
  };
}
