/**
 * A throwaway database on every node of a Citus cluster that somebody runs, with pgquota installed on the
 * coordinator as it is anywhere, and then spread by sql/optional/citus.sql. The database that is named in
 * the address only says which nodes there are; nothing is changed in it.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { cleanEnvironment, run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { ensureApiRoles } from '../../scripts/local/roles.ts';
import { pgTap } from '../support/cluster.ts';
import type { TestDatabase } from '../support/database.ts';
import { TAP_OF_WORKERS } from './tap.ts';

/** Owns schema quota. Nodes ask each other as this role, so each must let it in (see docs/scaling.md). */
export const OWNER = 'pgquota_owner';
const SIGNS_IN = 'pgquota_authenticator';

export interface Spread extends TestDatabase {
  /** As the superuser, one per worker. */
  workers: string[];
  /** As what PostgREST signs in with, on this node. */
  authenticatorOf(node: string): string;
  /** Runs sql/optional/citus.sql, and gives back what it printed, which is nothing. */
  spread(): Promise<string>;
}

export function withName(
  url: string,
  name: string,
  user?: { name: string; password: string },
): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  if (user) Object.assign(changed, { username: user.name, password: user.password });
  return changed.href;
}

/** Every node of the cluster, the coordinator first, as the login of the address. */
export async function nodesOf(url: string): Promise<string[]> {
  const { rows } = await withClient(url, (client) =>
    client.query(`
      select nodename as host, nodeport as port from pg_dist_node
      where groupid <> 0 and isactive and noderole = 'primary' order by nodename, nodeport`),
  );
  if (rows.length === 0) throw new Error('CITUS_DATABASE_URL names a cluster without a worker');
  return [
    url,
    ...rows.map(({ host, port }) => Object.assign(new URL(url), { hostname: host, port }).href),
  ];
}

/** As citus.sql does in the database that it spreads: a clone has no settings. */
export const limitWaits = (database: string) =>
  `alter role ${OWNER} in database ${database} set lock_timeout = '2s'`;

export async function createSpread(url: string): Promise<Spread> {
  const name = `pgquota_${randomBytes(6).toString('hex')}`;
  const authenticator = { name: SIGNS_IN, password: randomBytes(24).toString('base64url') };
  const nodes = await nodesOf(url);
  for (const node of nodes) {
    await withClient(node, async (client) => {
      await client.query('set citus.enable_ddl_propagation = off');
      await client.query(`create database ${name}`);
      await ensureApiRoles(client);
      for (const role of [OWNER, SIGNS_IN]) {
        await client.query(`
          do $$ begin
            if not exists (select from pg_roles where rolname = '${role}') then
              create role ${role} login noinherit;
            end if;
          end $$`);
      }
      await client.query(`
        alter role ${SIGNS_IN} password '${authenticator.password}';
        grant anon, authenticated, service_role to ${SIGNS_IN}, ${OWNER}`);
    });
  }
  const here = withName(url, name);
  await withClient(here, async (client) => {
    await client.query(`
      grant create on database ${name} to ${OWNER};
      grant create on schema public to ${OWNER};
      create schema extensions;
      grant usage on schema extensions to public;
      grant set on parameter track_functions, session_replication_role to ${OWNER};
      set search_path = extensions;`);
    await client.query(pgTap());
  });
  await migrate(withName(url, name, { name: OWNER, password: '' }));
  for (const node of nodes)
    await withClient(withName(node, name), (client) => client.query('create extension citus'));
  // Where suites look for pgTAP: what a transaction sets of its search path is set on workers, too.
  for (const node of nodes.slice(1)) {
    await withClient(withName(node, name), (client) =>
      client.query(`
        set citus.enable_ddl_propagation = off;
        create schema extensions;
        grant usage on schema extensions to public;
        ${TAP_OF_WORKERS}`),
    );
  }
  await withClient(here, async (client) => {
    await client.query('select citus_set_coordinator_host($1, $2)', [
      new URL(url).hostname,
      Number(new URL(url).port || 5432),
    ]);
    for (const node of nodes.slice(1).map((node) => new URL(node)))
      await client.query('select citus_add_node($1, $2)', [node.hostname, Number(node.port)]);
  });

  const open = new Set<{ end(): Promise<void> }>();
  return {
    name,
    url: here,
    workers: nodes.slice(1).map((node) => withName(node, name)),
    authenticatorUrl: withName(url, name, authenticator),
    authenticatorOf: (node) => withName(node, name, authenticator),
    async spread() {
      const { code, output } = await run(
        'psql',
        [here, '-qAt', '-f', fromRoot('sql/optional/citus.sql')],
        { env: cleanEnvironment() },
      );
      if (code !== 0) throw new Error(`citus.sql failed:\n${output}`);
      return output.trim();
    },
    async connect() {
      // As the owner: what one role has changed in a transaction, another cannot read before its end.
      const client = new pg.Client(withName(url, name, { name: OWNER, password: '' }));
      client.on('error', () => {});
      await client.connect();
      open.add(client);
      client.once('end', () => open.delete(client));
      // What a suite replaces for itself (the clock) is for its session alone.
      await client.query(
        'set citus.enable_ddl_propagation = off; set citus.multi_shard_modify_mode = sequential',
      );
      return client;
    },
    pool(size) {
      const pool = new pg.Pool({ connectionString: here, max: size });
      pool.on('error', () => {});
      open.add(pool);
      return pool;
    },
    async drop() {
      await Promise.allSettled([...open].map((one) => one.end()));
      for (const node of nodes)
        await withClient(node, (client) => client.query(`drop database ${name} with (force)`));
    },
  };
}
