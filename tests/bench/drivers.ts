/**
 * Runs a script of pgbench's language: with pgbench where there is one, since it takes little of the
 * processors that the server needs, else with node `pg`, which takes so much that ratios come nearer to 1.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { cleanEnvironment, run } from '../../scripts/local/processes.ts';
import type { Knobs } from './knobs.ts';
import type { Run } from './rounds.ts';

export interface Script {
  /** In pgbench's language, one line each: \set n random(1, 9), or a statement with ; or \gset. */
  lines: string[];
  role?: string;
}

export type Driver = (
  url: string,
  script: Script,
  sessions: number,
  knobs: Pick<Knobs, 'seconds' | 'calls'>,
) => Promise<Run>;

export function findDriver(): { name: string; drive: Driver } {
  const binary = findPgbench();
  return binary
    ? { name: 'pgbench', drive: (...args) => withPgbench(binary, ...args) }
    : { name: 'node pg (install postgresql-contrib for pgbench)', drive: withNode };
}

function findPgbench(): string | undefined {
  const works = (path: string) => spawnSync(path, ['--version'], { stdio: 'ignore' }).status === 0;
  if (works('pgbench')) return 'pgbench';
  const debian = '/usr/lib/postgresql';
  try {
    const versions = readdirSync(debian).sort((a, b) => Number(b) - Number(a));
    return versions.map((version) => join(debian, version, 'bin/pgbench')).find(works);
  } catch {
    return undefined;
  }
}

const optionsOf = (script: Script) => `-c role=${script.role ?? 'service_role'}`;

async function withPgbench(
  binary: string,
  url: string,
  script: Script,
  sessions: number,
  { seconds, calls }: Pick<Knobs, 'seconds' | 'calls'>,
): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-pgbench-'));
  try {
    const file = join(folder, 'script.sql');
    writeFileSync(file, `${script.lines.join('\n')}\n`);
    const length = calls ? ['-t', String(calls)] : ['-T', String(seconds)];
    const threads = ['-c', String(sessions), '-j', String(Math.min(2, sessions))];
    const log = ['-l', `--log-prefix=${join(folder, 'log')}`];
    const { code, output } = await run(
      binary,
      ['-n', '-M', 'prepared', ...threads, ...length, ...log, '-f', file, url],
      { env: cleanEnvironment({ PGOPTIONS: optionsOf(script) }) },
    );
    if (code !== 0) throw new Error(`pgbench failed:\n${output}\n${script.lines.join('\n')}`);
    const latencies = readdirSync(folder)
      .filter((name) => name.startsWith('log'))
      .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
      .map((line) => Number(line.split(' ')[2]) / 1000);
    const [, perSecond] = /tps = ([\d.]+)/.exec(output) ?? [];
    return { seconds: latencies.length / Number(perSecond), latencies };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Statement {
  text: string;
  names: string[];
  keeps: boolean;
}

type Step = { set: string; from: number; to: number } | Statement;

/** The part of pgbench's language that the scripts use. */
export function parse(line: string): Step {
  const [, set, from, to] = /^\\set (\w+) random\((\d+), (\d+)\)$/.exec(line) ?? [];
  if (set) return { set, from: Number(from), to: Number(to) };
  const names: string[] = [];
  const text = line.replace(/(;|\\gset)$/, '').replace(/(?<!:):([a-z]\w*)/g, (_, name) => {
    if (!names.includes(name)) names.push(name);
    return `$${names.indexOf(name) + 1}`;
  });
  return { text, names, keeps: line.endsWith('\\gset') };
}

export const withNode: Driver = async (url, script, sessions, { seconds, calls }) => {
  const steps = script.lines.map(parse);
  const latencies: number[] = [];
  const clients = Array.from(
    { length: sessions },
    () => new pg.Client({ connectionString: url, options: optionsOf(script) }),
  );
  await Promise.all(clients.map((client) => client.connect()));
  const start = performance.now();
  const end = calls ? Number.POSITIVE_INFINITY : start + seconds * 1000;
  try {
    await Promise.all(
      clients.map(async (client) => {
        for (let n = 0; n < (calls ?? Number.POSITIVE_INFINITY); n++) {
          const began = performance.now();
          if (began > end) break;
          await once(client, steps);
          latencies.push(performance.now() - began);
        }
      }),
    );
    return { seconds: (performance.now() - start) / 1000, latencies };
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
};

async function once(client: pg.Client, steps: Step[]): Promise<void> {
  const known: Record<string, unknown> = {};
  for (const [at, step] of steps.entries()) {
    if ('set' in step) {
      known[step.set] = String(step.from + Math.floor(Math.random() * (step.to - step.from + 1)));
      continue;
    }
    const values = step.names.map((name) => known[name]);
    const { rows } = await client.query({ name: `step-${at}`, text: step.text, values });
    if (step.keeps) Object.assign(known, rows[0]);
  }
}
