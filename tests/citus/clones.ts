/**
 * A spread database for each race: clones, on every node, of one that was spread once. `npm run test:citus`
 * makes the template and names it in CITUS_TEMPLATE; what is cloned here knows its nodes by itself.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import { setClock } from '../support/clock.ts';
import type { TestDatabase } from '../support/database.ts';
import { createSpread, limitWaits, nodesOf, withName } from './nodes.ts';

/** How often a crowd calls. */
const CALLS = 4;

/** Returns the template's name, and what drops it. */
export async function createTemplate(url: string) {
  const spread = await createSpread(url);
  // A shard for each worker: a clone copies their files.
  await withClient(url, (client) =>
    client.query(`alter database ${spread.name} set citus.shard_count = ${spread.workers.length}`),
  );
  await spread.spread();
  // The clock of the races is a table, and each node looks at its own copy.
  await withClient(spread.url, async (client) => {
    await setClock(client, { offset: '0' });
    await client.query(`select create_reference_table('test_clock.hands')`);
  });
  // Nobody may be in a database that is cloned, and each has a daemon of Citus that would come again.
  for (const node of await nodesOf(url)) {
    await withClient(node, async (client) => {
      await client.query('set citus.enable_ddl_propagation = off');
      await client.query(`alter database ${spread.name} allow_connections false`);
      await client.query(
        'select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1',
        [spread.name],
      );
    });
  }
  return { name: spread.name, drop: spread.drop };
}

export async function cloneSpread(url: string, template: string): Promise<TestDatabase> {
  const name = `pgquota_${randomBytes(6).toString('hex')}`;
  const nodes = await nodesOf(url);
  const ofEach = (work: (client: pg.Client) => Promise<unknown>) =>
    Promise.all(
      nodes.map((node) =>
        withClient(node, async (client) => {
          await client.query(
            'set citus.enable_ddl_propagation = off; set client_min_messages = warning',
          );
          await work(client);
        }),
      ),
    );
  await ofEach(async (client) => {
    await client.query(`create database ${name} template ${template} strategy file_copy`);
    await client.query(limitWaits(name));
  });

  const urls = nodes.map((node) => withName(node, name));
  const open = new Set<{ end(): Promise<void> }>();
  let turn = 0;
  const next = () => urls[turn++ % urls.length] as string;
  const connectTo = async (node: string) => {
    const client = new pg.Client(node);
    client.on('error', () => {});
    await client.connect();
    open.add(client);
    client.once('end', () => open.delete(client));
    return client;
  };
  return {
    name,
    url: urls[0] as string,
    authenticatorUrl: urls[0] as string,
    connect: () => connectTo(urls[0] as string),
    connectAnywhere: () => connectTo(next()),
    pool(size) {
      // Each connection of it to another node.
      class Anywhere extends pg.Client {
        constructor() {
          super(next());
        }
      }
      const pool = new pg.Pool({ Client: Anywhere, max: size });
      pool.on('error', () => {});
      open.add(pool);
      const once = pool.query.bind(pool) as (...query: unknown[]) => Promise<unknown>;
      // Who waits 2 s is told to call again, and a crowd on a computer that is all nodes at once may have to.
      const again = async (query: unknown[], calls = 1): Promise<unknown> =>
        once(...query).catch((error) => {
          if (error.code !== '55P03' || calls === CALLS) throw error;
          return again(query, calls + 1);
        });
      return Object.assign(pool, { query: (...query: unknown[]) => again(query) });
    },
    async drop() {
      await ofEach((client) => client.query(`drop database ${name} with (force)`));
      await Promise.allSettled([...open].map((one) => one.end()));
    },
  };
}
