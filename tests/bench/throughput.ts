// What exactness costs: calls per second beside a bare conditional update, and what the usual way in
// application code allows over the limit; reserve and commit beside two consumes; and a table that limits
// itself beside one that does not. Alternating rounds on one durable server: read the ratios, not the
// figures, since a shared machine moves by a factor of three between runs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { startPostgres } from '../../scripts/local/postgres.ts';
import { ensureRoles } from '../../scripts/local/roles.ts';
import { formatTable } from '../../scripts/table.ts';
import { type Contender, contenders, overshoot, pairs, prepare } from './contenders.ts';
import { alternate, shown } from './rounds.ts';
import {
  millisecondsOf,
  prepareTables,
  type Statement,
  secondsToLimit,
  statements,
} from './tables.ts';

const ROUNDS = 5;
const SECONDS = 2;
const CLIENTS = 8;
const SUBJECTS = 20_000;

async function callsPerSecond(pool: pg.Pool, contender: Contender): Promise<number> {
  const end = performance.now() + SECONDS * 1000;
  let calls = 0;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = await pool.connect();
      while (performance.now() < end) {
        await contender.call(client, `user-${Math.floor(Math.random() * SUBJECTS)}`);
        calls++;
      }
      client.release();
    }),
  );
  return calls / SECONDS;
}

type Row = Record<string, string | number>;
const print = (rows: Row[]) =>
  console.log(`\n${formatTable(rows, Object.keys(rows[0] ?? {})).join('\n')}`);

export async function measureThroughput(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-bench-'));
  const postgres = await startPostgres({ dataDirectory: join(folder, 'data'), durable: true });
  try {
    await withClient(postgres.url(), ensureRoles);
    await migrate(postgres.url());
    console.log(`preparing ${SUBJECTS} subjects`);
    await withClient(postgres.url(), (client) => prepare(client, SUBJECTS));

    const pool = new pg.Pool({
      connectionString: postgres.url(),
      max: CLIENTS,
      options: '-c role=service_role',
    });
    const speed = (contender: Contender) => callsPerSecond(pool, contender);
    const calls = await alternate(contenders, ROUNDS, '/s', speed);
    const twoPhase = await alternate(pairs, ROUNDS, '/s', speed);
    await pool.end();

    const singles = [];
    for (const { contender, figure, ratio } of calls) {
      singles.push({
        call: contender.name,
        'calls/s': Math.round(figure),
        'of the bare update': ratio.toFixed(2),
        'allowed of 100, 32 callers': await overshoot(postgres.url(), contender),
      });
    }

    const costs: Row[] = [];
    let limiting = 0;
    await withClient(postgres.url(), async (client) => {
      await prepareTables(client);
      for (const pair of statements) {
        const cost = (statement: Statement) => millisecondsOf(client, statement, SECONDS);
        for (const { contender, figure, ratio } of await alternate(pair, ROUNDS, ' ms', cost)) {
          costs.push({
            statement: contender.name,
            ms: shown(figure),
            'times the plain table': ratio.toFixed(2),
          });
        }
      }
      limiting = await secondsToLimit(client);
    });

    console.log(`\n${CLIENTS} clients, durable, medians of ${ROUNDS} rounds of ${SECONDS} s`);
    print(singles);
    print(
      twoPhase.map(({ contender, figure, ratio }) => ({
        'work of two calls': contender.name,
        'per second': Math.round(figure),
        'of two consumes': ratio.toFixed(2),
      })),
    );
    console.log('\none client');
    print(costs);
    console.log(`\nlimit_table() on 100,000 rows of 20,000 subjects: ${shown(limiting)} s`);
  } finally {
    await postgres.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}
