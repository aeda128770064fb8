/**
 * What exactness costs: calls per second, their latency and the server's processor time, beside a bare
 * conditional update, a server that does nothing, and what applications do. What is compared runs in turn on one
 * durable server: read the ratios, not the figures, since a shared machine moves by a factor of three.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import { createKeys } from '../../scripts/local/keys.ts';
import { startPostgrest } from '../../scripts/local/postgrest.ts';
import { formatTable } from '../../scripts/table.ts';
import { fromNode } from './callers.ts';
import {
  bar,
  bare,
  type Call,
  callsOf,
  check,
  hurryClock,
  pairsOf,
  plainConsume,
} from './calls.ts';
import { overshoot, prepareWays, waysOf } from './contenders.ts';
import { type CpuClock, cpuOf } from './cpu.ts';
import { type Driver, findDriver } from './drivers.ts';
import { besideFolding } from './folding.ts';
import { type Server, withServer } from './ground.ts';
import type { Knobs, Size } from './knobs.ts';
import { describeMachine, type Machine, machineLine } from './machine.ts';
import { prepareRest, restWays } from './rest.ts';
import { alternate, type Contender, type Measured, shown } from './rounds.ts';
import { overPg, overRest } from './shared.ts';
import { prepareTables, secondsToLimit, tablePairs } from './tables.ts';

export interface Section {
  id: string;
  title: string;
  rows: (Measured & { allowed?: number })[];
}

export interface Report {
  machine: Machine;
  driver: string;
  knobs: Knobs;
  sections: Section[];
  /** Seconds that limit_table() took on a table of 100,000 rows. */
  secondsToLimit?: number;
}

interface Stage {
  server: Server;
  knobs: Knobs;
  drive: Driver;
  cpu: CpuClock;
  since: Date;
}

const count = (value: number) => value.toLocaleString('en');

/** A call as a contender: its script driven against a database, by so many sessions. */
function contender({ drive, knobs, since }: Stage, call: Call, url: string, sessions: number) {
  const run = () => drive(url, call, sessions, knobs);
  const { hurry } = call;
  if (!hurry) return { name: call.name, run };
  const clock = (times: number) => withClient(url, (client) => hurryClock(client, times, since));
  return {
    name: call.name,
    async run() {
      await clock(hurry);
      try {
        return await run();
      } finally {
        await clock(1);
      }
    },
  };
}

const anySubject = (subjects: number) => `user-${1 + Math.floor(Math.random() * subjects)}`;

/** Each gives what it measured; `url` is a database in which every call was made once. */
const sections: Record<string, (stage: Stage, url: string) => Promise<Section[]>> = {
  async calls(stage, url) {
    const { knobs, cpu } = stage;
    const of = (calls: Call[]) => calls.map((call) => contender(stage, call, url, knobs.clients));
    const title = `${knobs.clients} sessions, ${count(knobs.subjects)} subjects, durable`;
    return [
      { id: 'calls', title, rows: await alternate(of(callsOf(knobs.subjects)), knobs, cpu) },
      {
        id: 'pairs',
        title: 'Work of two calls',
        rows: await alternate(of(pairsOf(knobs.subjects)), knobs, cpu),
      },
    ];
  },

  async hot(stage, url) {
    const found: Section[] = [];
    for (const sessions of stage.knobs.hot) {
      const calls = [bare(1), plainConsume(1)];
      const contenders = calls.map((call) => contender(stage, call, url, sessions));
      const rows = await alternate(contenders, stage.knobs, stage.cpu);
      found.push({ id: `hot-${sessions}`, title: `${sessions} sessions, one subject`, rows });
    }
    return found;
  },

  async growth(stage) {
    const { server, knobs, cpu } = stage;
    const sizes: [string, Size][] = [
      ['small', knobs.small],
      ['grown', knobs.grown],
    ];
    for (const [name, size] of sizes) await server.create(name, size);
    const found: Section[] = [];
    for (const call of [bare, plainConsume, check, bar]) {
      const contenders = sizes.map(([database, size]): Contender => {
        const { run } = contender(stage, call(size.subjects), server.url(database), knobs.clients);
        return { name: `${count(size.subjects)} subjects, ${count(size.lines)} lines`, run };
      });
      const { name } = call(1);
      const rows = await alternate(contenders, knobs, cpu);
      found.push({ id: `growth-${call.name}`, title: `${name}, as it grows`, rows });
    }
    return found;
  },

  async node({ knobs, cpu }, url) {
    await withClient(url, prepareWays);
    const allowed = await overshoot(url);
    const { pool: max, callers, subjects } = knobs;
    const pool = new pg.Pool({ connectionString: url, max, options: '-c role=service_role' });
    try {
      const ways = await waysOf(pool, 1_000_000_000);
      const found: Section[] = [];
      for (const [id, among] of [
        ['spread', subjects],
        ['hot', 1],
      ] as const) {
        const contenders = ways.map(({ name, call }) => ({
          name,
          run: () => fromNode(knobs, () => call(pool, anySubject(among))),
        }));
        const rows = await alternate(contenders, knobs, cpu);
        found.push({
          id: `node-${id}`,
          title: `One Node process, ${callers} callers, ${max} connections, ${among === 1 ? 'one subject' : `${count(among)} subjects`}`,
          rows: rows.map((row) => ({ ...row, allowed: allowed[row.name] })),
        });
      }
      return found;
    } finally {
      await pool.end();
    }
  },

  async rest({ server, knobs }, url) {
    await withClient(url, prepareRest);
    const jwtSecret = randomBytes(32).toString('hex');
    const { serviceRoleKey } = await createKeys(jwtSecret);
    const databaseUrl = server.url(new URL(url).pathname.slice(1), server.login);
    const postgrest = await startPostgrest({ databaseUrl, jwtSecret });
    try {
      const contenders = restWays(postgrest.url, serviceRoleKey).map(({ name, call }) => ({
        name,
        run: () => fromNode(knobs, () => call(anySubject(knobs.subjects))),
      }));
      const rows = await alternate(contenders, knobs, cpuOf(server.pid, postgrest.pid));
      return [{ id: 'rest', title: `Through PostgREST, ${knobs.callers} callers`, rows }];
    } finally {
      await postgrest.stop();
    }
  },

  async shared({ server, knobs, cpu }, url) {
    const jwtSecret = randomBytes(32).toString('hex');
    const { serviceRoleKey } = await createKeys(jwtSecret);
    const databaseUrl = server.url(new URL(url).pathname.slice(1), server.login);
    const options = '-c role=service_role';
    const pool = new pg.Pool({ connectionString: url, max: knobs.pool, options });
    const postgrest = await startPostgrest({ databaseUrl, jwtSecret });
    try {
      const found: Section[] = [];
      for (const callers of knobs.sharing) {
        const own = { ...knobs, callers };
        const who = `One subject, one Node process, ${callers} callers`;
        const rows = await alternate(overPg(own, pool), own, cpu);
        found.push({
          id: `shared-pg-${callers}`,
          title: `${who}, ${knobs.pool} connections`,
          rows,
        });
        found.push({
          id: `shared-rest-${callers}`,
          title: `${who}, through PostgREST`,
          rows: await alternate(
            overRest(own, postgrest.url, serviceRoleKey),
            own,
            cpuOf(server.pid, postgrest.pid),
          ),
        });
      }
      return found;
    } finally {
      await postgrest.stop();
      await pool.end();
    }
  },

  async fold(stage, url) {
    const { knobs, cpu } = stage;
    const found: Section[] = [];
    for (const subjects of [knobs.subjects, 1]) {
      const alone = contender(stage, plainConsume(subjects), url, knobs.clients);
      const rows = await alternate(besideFolding(alone, url, subjects, knobs.oldLines), knobs, cpu);
      found.push({
        id: `fold-${subjects}`,
        title: `${knobs.clients} sessions, ${count(subjects)} subjects, while old lines of them are folded`,
        rows,
      });
    }
    return found;
  },

  async tables({ knobs, cpu }, url) {
    return await withClient(url, async (client) => {
      await prepareTables(client);
      const found: Section[] = [];
      for (const [at, pair] of tablePairs(client, knobs).entries()) {
        const rows = await alternate(pair, knobs, cpu);
        found.push({ id: `table-${at}`, title: `One session, ${pair[0]?.name}`, rows });
      }
      return found;
    });
  },
};

export async function measureThroughput(knobs: Knobs, only?: string[]): Promise<Report> {
  const names = Object.keys(sections);
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown) throw new Error(`There is no part "${unknown}". There are: ${names.join(', ')}`);
  const { name: driver, drive } = findDriver();
  return await withServer(async (server) => {
    const machine = await withClient(server.url('postgres'), describeMachine);
    console.log(`${machineLine(machine)}; driven by ${driver}`);
    if (machine.load > 0.5) console.log('The machine is busy: ratios will move too.');
    const stage: Stage = { server, knobs, drive, cpu: cpuOf(server.pid), since: new Date() };
    const report: Report = { machine, driver, knobs, sections: [] };
    const size = { subjects: knobs.subjects, lines: 0 };
    const url = await server.create('calls', size, true);
    for (const name of names.filter((one) => only?.includes(one) ?? true)) {
      for (const section of (await sections[name]?.(stage, url)) ?? []) {
        report.sections.push(section);
        printSection(section);
      }
    }
    if (only?.includes('tables') ?? true) {
      const rows = knobs.rows * 10;
      report.secondsToLimit = await withClient(url, (client) => secondsToLimit(client, rows));
      console.log(`\nlimit_table() on ${count(rows)} rows: ${shown(report.secondsToLimit)} s`);
    }
    return report;
  });
}

export function rowsOf({ rows }: Section) {
  return rows.map(({ name, ratio, perSecond, cpu, p50, p99, allowed }) => ({
    call: name,
    ratio: ratio.toFixed(2),
    'calls/s': Math.round(perSecond),
    'server µs': cpu === null ? null : Math.round(cpu),
    'p50 ms': shown(p50),
    'p99 ms': shown(p99),
    ...(allowed === undefined ? {} : { 'allowed of 100': allowed }),
  }));
}

function printSection(section: Section): void {
  const rows = rowsOf(section);
  console.log(`\n${section.title}`);
  console.log(`${formatTable(rows, Object.keys(rows[0] ?? {})).join('\n')}\n`);
}
