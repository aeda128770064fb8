/**
 * The storm at length. Sessions call without a pause on a durable server of its own, while the clock is set
 * forward and back, plans change under them, quota.tidy() runs, the server is killed with -9 and, in the
 * middle, an upgrade is installed. Every so often all stop, and what was told is held against the ledger.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { startPostgres } from '../../scripts/local/postgres.ts';
import { ensureApiRoles } from '../../scripts/local/roles.ts';
import { throwawayFolder } from '../../scripts/local/throwaway.ts';
import { guardFolder } from '../../scripts/local/warden.ts';
import { quantile } from '../bench/rounds.ts';
import { randomFrom } from '../periods/random.ts';
import { setClock } from '../support/clock.ts';
import { Load } from './load.ts';
import { prove } from './proof.ts';
import { upgradeOf } from './upgrade.ts';
import { KEPT, makeWorld, newEdition } from './world.ts';

export interface Options {
  seconds: number;
  sessions: number;
  /** Between two proofs; every second one begins with a crash. */
  stretch: number;
  seed: number;
  say(line: string): void;
  /** Breaks the product, to see that it is noticed. */
  sabotage?(owner: pg.Client): Promise<unknown>;
}

export interface Stretch {
  seconds: number;
  callsPerSecond: number;
  p50: number;
  p99: number;
  /** Lines of the ledger at its end, and what all tables take, in MB. */
  lines: number;
  megabytes: number;
}

export interface SoakReport {
  stretches: Stretch[];
  findings: string[];
  answers: Record<string, number>;
  /** What was done to it, by name. */
  events: Record<string, number>;
  /** Of the updates of meters, how many stayed on their page without touching an index; percent. */
  hot: number;
}

const MINUTE = 60_000;

export async function soak(options: Options): Promise<SoakReport> {
  const folder = throwawayFolder('pgquota-soak-');
  const release = guardFolder(folder);
  const start = () => startPostgres({ dataDirectory: join(folder, 'data'), durable: true });
  let server = await start();
  try {
    await withClient(server.url(), async (owner) => {
      await ensureApiRoles(owner);
      await migrate(server.url());
      await makeWorld(owner);
      await options.sabotage?.(owner);
    });
    const upgrade = await upgradeOf({
      async create(name) {
        await withClient(server.url(), (admin) => admin.query(`create database "${name}"`));
        return server.url(name);
      },
    });
    const crash = async () => {
      await server.kill();
      server = await start();
    };
    return await run(options, () => server.url(), crash, upgrade);
  } finally {
    await server.remove();
    rmSync(folder, { recursive: true, force: true });
    release();
  }
}

async function run(
  { seconds, sessions, stretch, seed, say }: Options,
  url: () => string,
  crash: () => Promise<void>,
  upgrade: string,
): Promise<SoakReport> {
  const random = randomFrom(seed);
  const report: SoakReport = { stretches: [], findings: [], answers: {}, events: {}, hot: 0 };
  const updates = { all: 0, hot: 0 };
  const did = (what: string) => {
    report.events[what] = (report.events[what] ?? 0) + 1;
  };
  let ahead = Date.parse('2026-01-20T10:00:00Z') - Date.now();
  const asOwner = <T>(work: (owner: pg.Client) => Promise<T>) => withClient(url(), work);
  const moveClock = (by: number) => {
    ahead += by;
    return asOwner((owner) => setClock(owner, { offset: `${ahead} milliseconds` }));
  };
  const happenings: Record<string, () => Promise<unknown>> = {
    'clock set forward by minutes': () => moveClock(random.between(1, 40) * MINUTE),
    'clock set forward by days': () => moveClock(random.between(1, 4) * 1440 * MINUTE),
    'clock set back': () => moveClock(-random.between(5, 120) * 1000),
    'plans changed': () => asOwner((owner) => newEdition(owner, random)),
    tidied: () => asOwner((owner) => owner.query('select quota.tidy($1)', [KEPT])),
  };

  await moveClock(0);
  const load = new Load(url);
  load.start(sessions, seed);
  const began = Date.now();
  const end = began + seconds * 1000;
  let isUpgraded = false;
  for (let n = 1; Date.now() < end; n++) {
    const from = Date.now();
    load.told.latencies.length = 0;
    while (Date.now() < Math.min(from + stretch * 1000, end)) {
      await sleep(1000);
      const what = random.pick(Object.keys(happenings));
      if (random.between(0, 2) === 0) await happenings[what]?.().then(() => did(what));
      if (!isUpgraded && Date.now() > (began + end) / 2) {
        await asOwner((owner) => owner.query(upgrade));
        isUpgraded = true;
        did('upgraded');
      }
    }
    const lasted = (Date.now() - from) / 1000;
    const latencies = load.told.latencies.splice(0);
    await asOwner((owner) => countUpdates(owner, updates));
    if (n % 2 === 0) {
      await crash();
      did('killed with -9');
    }
    await load.pause();
    await asOwner(async (owner) => {
      report.findings.push(...(await prove(owner, load.told)));
      const at = (share: number) => Number((quantile(latencies, share) || 0).toFixed(1));
      report.stretches.push({
        seconds: Math.round(lasted),
        callsPerSecond: Math.round(latencies.length / lasted),
        p50: at(0.5),
        p99: at(0.99),
        ...(await sizes(owner)),
      });
    });
    did('proved');
    const { callsPerSecond, p99, lines } = report.stretches.at(-1) as Stretch;
    say(
      `${Math.round((Date.now() - began) / 1000)} s of ${seconds}: ${callsPerSecond} calls/s, ` +
        `p99 ${p99} ms, ${lines} lines, ${report.findings.length} findings`,
    );
    load.resume();
  }
  await load.end();
  report.findings.push(...(await asOwner((owner) => prove(owner, load.told))));
  report.answers = load.told.answers;
  report.hot = Math.round((updates.hot / Math.max(updates.all, 1)) * 1000) / 10;
  return report;
}

/** A crash empties these statistics, so they are added up before. */
async function countUpdates(owner: pg.Client, updates: { all: number; hot: number }) {
  await owner.query('select pg_stat_force_next_flush()');
  const { rows } = await owner.query(`
    select n_tup_upd::float8 as "all", n_tup_hot_upd::float8 as hot
    from pg_stat_user_tables where relid = 'quota.meters'::regclass`);
  updates.all += rows[0].all;
  updates.hot += rows[0].hot;
  await owner.query(`select pg_stat_reset_single_table_counters('quota.meters'::regclass)`);
}

async function sizes(owner: pg.Client): Promise<Pick<Stretch, 'lines' | 'megabytes'>> {
  const { rows } = await owner.query(`
    select (select count(*) from quota.events)::integer as lines,
      (select sum(pg_total_relation_size(oid)) from pg_class
       where relnamespace = 'quota'::regnamespace and relkind = 'r')::float8 / 2 ^ 20 as size`);
  return { lines: rows[0].lines, megabytes: Math.round(rows[0].size) };
}
