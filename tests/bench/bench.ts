// What exactness costs: calls per second beside a bare conditional update, and what the usual way in
// application code allows over the limit. One alternating run on one durable server, since a shared
// machine moves by a factor of three between runs: read the ratios, not the figures.
//
//   npm run bench                    the default below
//   npm run bench -- 5 3             5 rounds of 3 seconds each
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { startPostgres } from '../../scripts/local/postgres.ts';
import { ensureRoles } from '../../scripts/local/roles.ts';
import { formatTable } from '../../scripts/table.ts';
import { type Contender, contenders, overshoot, prepare } from './contenders.ts';

const [ROUNDS, SECONDS] = [Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 2)];
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

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] as number;

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
  const speeds = new Map(contenders.map((contender) => [contender, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const contender of contenders) {
      const speed = await callsPerSecond(pool, contender);
      if (round === 0) continue; // warm-up
      speeds.get(contender)?.push(speed);
      console.log(`round ${round} of ${ROUNDS}  ${contender.name}  ${Math.round(speed)}/s`);
    }
  }
  await pool.end();

  const [floor] = contenders as [Contender];
  const rows = [];
  for (const contender of contenders) {
    const ratios = (speeds.get(contender) ?? []).map(
      (speed, round) => speed / (speeds.get(floor)?.[round] as number),
    );
    rows.push({
      call: contender.name,
      'calls/s': Math.round(median(speeds.get(contender) ?? [])),
      'of the bare update': median(ratios).toFixed(2),
      'allowed of 100, 32 callers': await overshoot(postgres.url(), contender),
    });
  }
  console.log(`\n${CLIENTS} clients, durable, medians of ${ROUNDS} rounds of ${SECONDS} s\n`);
  console.log(formatTable(rows, Object.keys(rows[0] ?? {})).join('\n'));
} finally {
  await postgres.remove();
  rmSync(folder, { recursive: true, force: true });
}
