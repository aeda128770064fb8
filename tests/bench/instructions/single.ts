/**
 * One backend alone under valgrind: `postgres --single` reads statements from stdin, a line each, and
 * valgrind counts the instructions it took. They are the same on a busy machine as on a quiet one.
 */
import { spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Home } from '../../../scripts/local/native.ts';
import { cleanEnvironment } from '../../../scripts/local/processes.ts';
import { guardChild } from '../../../scripts/local/warden.ts';

export const DATABASE = 'postgres';

export function requireValgrind(): void {
  if (spawnSync('valgrind', ['--version'], { stdio: 'ignore' }).status === 0) return;
  throw new Error(
    'Counting instructions needs valgrind, and there is none on PATH. Install it: ' +
      '"apt-get install valgrind" on Debian and Ubuntu, "dnf install valgrind" on Fedora.',
  );
}

/** What counts: without a cache to simulate it is only ten times slower than the bare backend. */
const CACHEGRIND = ['--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null'];

export interface Ran {
  /** What the backend printed: each row it answered. */
  output: string;
  /** Of the backend and of valgrind. */
  messages: string;
}

export async function countInstructions(
  home: Home,
  lines: string[],
): Promise<Ran & { instructions: number }> {
  const ran = await runSingle(home, lines, ['valgrind', ...CACHEGRIND]);
  const [, refs] = /I\s+refs:\s+([\d,]+)/.exec(ran.messages) ?? [];
  if (!refs) throw new Error(`valgrind counted nothing:\n${ran.messages}`);
  return { ...ran, instructions: Number(refs.replaceAll(',', '')) };
}

/** Runs the lines on a copy of the data directory, so that every run finds the same. */
export async function runSingle(home: Home, lines: string[], under: string[] = []): Promise<Ran> {
  const { native, dataDirectory, runner } = home;
  const copy = `${dataDirectory}-${crypto.randomUUID()}`;
  try {
    if (spawnSync('cp', ['-a', dataDirectory, copy], { stdio: 'inherit' }).status !== 0) {
      throw new Error(`Cannot copy ${dataDirectory}`);
    }
    const settings = ['-c', 'fsync=off', '-c', 'jit=off'];
    const postgres = [join(native, 'bin/postgres'), '--single', '-D', copy, ...settings, DATABASE];
    const [file, ...args] = [...under, ...postgres] as [string, ...string[]];
    const child = spawn(file, args, { ...runner, cwd: '/', env: cleanEnvironment() });
    if (child.pid) guardChild(child, 'SIGKILL');
    child.stdin.on('error', () => {}); // it ended early; its messages say why
    child.stdin.end(`${lines.join('\n')}\n`);
    const ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    const [output, messages] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    const failure = /^.*\b(ERROR|FATAL|PANIC): .*(\n.*(DETAIL|HINT|CONTEXT|STATEMENT): .*)*/m.exec(
      messages,
    );
    if (failure) throw new Error(failure[0]);
    return { output, messages };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
