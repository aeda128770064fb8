/**
 * Instructions per call: the figure to steer by, since it is the same on a busy machine as on a quiet
 * one. A prepared statement is executed WARM + CALLS times and, on the same data, WARM times, each its
 * own transaction; the difference is divided by CALLS.
 */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Home } from '../../../scripts/local/native.ts';
import { run } from '../../../scripts/local/processes.ts';
import { withGround } from './ground.ts';
import { type Row, rowsOf, YARDSTICK } from './rows.ts';
import { countInstructions, requireValgrind, runSingle } from './single.ts';

/** The first executions plan, and fill the caches of the backend. */
const WARM = 20;
const CALLS = 100;

export interface Options {
  /** Only the rows of these names. */
  only?: string[];
  /** Prints where the instructions of this row go, instead of counting. */
  callgrind?: string;
}

export interface Result {
  call: string;
  /** Thousands of instructions. */
  instructions: number;
  target?: number;
}

type Statements = (i: number) => string[];

export function linesOf(row: Row, times: number, statements: Statements): string[] {
  const who = row.user
    ? [
        'set role authenticated',
        `set request.jwt.claims = '${JSON.stringify({ sub: row.user, role: 'authenticated' })}'`,
      ]
    : ['set role service_role'];
  const calls = Array.from({ length: times }, (_, i) => statements(i + 1)).flat();
  return [...(row.setup ?? []), ...who, ...row.prepare, ...calls];
}

/** Throws unless every call was answered as the row says. */
export function checkAnswers(row: Row, times: number, output: string): void {
  const given = output.match(new RegExp(row.answer ?? 'allowed = "t"', 'g'))?.length ?? 0;
  const asked = times * row.call(1).length;
  if (given === asked) return;
  const end = output.slice(-2000);
  throw new Error(`${row.name}: ${given} of ${asked} answers are as expected; the last:\n${end}`);
}

async function perCall(home: Home, row: Row, statements: Statements, check = true) {
  const count = async (times: number) => {
    const ran = await countInstructions(home, linesOf(row, times, statements));
    if (check) checkAnswers(row, times, ran.output);
    return ran.instructions;
  };
  // Side by side: two runs do not disturb each other's count.
  const [few, many] = await Promise.all([count(WARM), count(WARM + CALLS)]);
  return (many - few) / CALLS / 1000;
}

export const wholeCall =
  ({ before, call }: Row): Statements =>
  (i) => [...(before?.(i) ?? []), ...call(i)];

async function measure(home: Home, row: Row): Promise<Result> {
  const whole = await perCall(home, row, wholeCall(row));
  const part = row.before ? await perCall(home, row, row.before, false) : 0;
  return { call: row.name, instructions: Math.round(whole - part), target: row.target };
}

export async function measureInstructions({ only, callgrind }: Options): Promise<Result[]> {
  requireValgrind();
  const wanted = callgrind ? [callgrind] : only;
  const names = rowsOf(String).map((row) => row.name);
  const unknown = wanted?.find((name) => !names.includes(name));
  if (unknown) throw new Error(`There is no row "${unknown}". There are:\n  ${names.join('\n  ')}`);
  return await withGround(async (home, rows) => {
    const chosen = rows.filter((row) => wanted?.includes(row.name) ?? true);
    if (callgrind) {
      for (const row of chosen) await annotate(home, row);
      return [];
    }
    const results: Result[] = [];
    for (const row of chosen) {
      const result = await measure(home, row);
      results.push(result);
      console.log(`${result.call}  ${result.instructions}k`);
    }
    return results;
  });
}

async function annotate(home: Home, row: Row): Promise<void> {
  const file = join(tmpdir(), `pgquota-${crypto.randomUUID()}.callgrind`);
  try {
    await runSingle(home, linesOf(row, WARM + 3 * CALLS, wholeCall(row)), [
      'valgrind',
      '--tool=callgrind',
      `--callgrind-out-file=${file}`,
      '--toggle-collect=exec_simple_query',
    ]);
    for (const inclusive of ['yes', 'no']) {
      const args = [`--inclusive=${inclusive}`, '--auto=no', '--threshold=95', file];
      const { output } = await run('callgrind_annotate', args);
      // A line: instructions, share, file:function [object]. A recursive function has more than all.
      const lines = output.split('\n').flatMap((line) => {
        const [, share, name] = /^ *[\d,]+ \( *([\d.]+)%\) +[^:]*:(\S+)/.exec(line) ?? [];
        return name && Number(share) < 100 ? [`${share?.padStart(6)} %  ${name}`] : [];
      });
      console.log(inclusive === 'yes' ? 'with what they call' : '\nby themselves');
      console.log(lines.slice(0, 50).join('\n'));
    }
  } finally {
    rmSync(file, { force: true });
  }
}

/** The table that is printed, and that the README shows. */
export function tableOf(results: Result[]) {
  const bare = results.find((result) => result.call === YARDSTICK)?.instructions;
  return results.map(({ call, instructions, target }) => ({
    call,
    'thousands of instructions': instructions,
    target: target ?? null,
    'of the target': target ? (instructions / target).toFixed(2) : null,
    'of the bare update': bare ? (instructions / bare).toFixed(1) : null,
  }));
}
