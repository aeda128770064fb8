/** Where and when figures were measured: they mean nothing without it. */
import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import type pg from 'pg';
import { fromRoot } from '../../scripts/local/project.ts';

export interface Machine {
  processor: string;
  cores: number;
  memory: string;
  system: string;
  postgres: string;
  node: string;
  commit: string;
  date: string;
  /** Processes that wanted to run while the bench had not begun: 0 on a quiet machine. */
  load: number;
}

export async function describeMachine(client: pg.ClientBase): Promise<Machine> {
  const { rows } = await client.query('show server_version');
  return {
    processor: cpus()[0]?.model.trim() || process.arch,
    cores: availableParallelism(),
    memory: `${Math.round(totalmem() / 2 ** 30)} GB`,
    system: `${process.platform} ${process.arch}`,
    postgres: rows[0].server_version,
    node: process.version,
    commit: git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', 'sql') && '+'),
    date: new Date().toISOString().slice(0, 10),
    load: Number(loadavg()[0]?.toFixed(1)),
  };
}

export const machineLine = ({ processor, cores, memory, postgres, date, load }: Machine): string =>
  `${cores} cores of ${processor}, ${memory}, Postgres ${postgres}, ${date}, load before ${load}`;

function git(...args: string[]): string {
  try {
    return execFileSync('git', args, {
      cwd: fromRoot('.'),
      encoding: 'utf8',
      stdio: 'pipe',
    }).trim();
  } catch {
    return ''; // not a clone
  }
}
