/** What every child process here needs: a clean environment, a known end, and no leftovers. */
import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Our environment without PG* and PGRST_*: a PGPORT or PGOPTIONS meant for somebody's psql must not
 * reach the server, the migrations or PostgREST.
 */
export function cleanEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^PG(?!QUOTA)/.test(name));
  return { ...Object.fromEntries(own), ...extra };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Resolves once no process has this pid; false when it is still there after `timeout` ms. */
export async function waitUntilGone(pid: number, timeout: number): Promise<boolean> {
  const end = Date.now() + timeout;
  while (isAlive(pid)) {
    if (Date.now() > end) return false;
    await sleep(20);
  }
  return true;
}

export interface Finished {
  code: number | null;
  output: string;
}

/** Runs a program to its end and gives back what it printed, both streams in one text. */
export function run(file: string, args: string[], options: SpawnOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      output += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

/** The program's name as the system knows it, to tell a server from a stranger that got its pid. */
export function commandOf(pid: number): Promise<string> {
  return new Promise((resolve) => {
    execFile('ps', ['-p', String(pid), '-o', 'comm='], (_error, stdout) =>
      resolve(String(stdout ?? '').trim()),
    );
  });
}

/** Asks a child to end, insists after `patience` ms, and returns when it is gone. */
export async function endChild(
  child: ChildProcess,
  signal: NodeJS.Signals,
  patience = 10_000,
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const insist = setTimeout(() => child.kill('SIGKILL'), patience);
  await gone;
  clearTimeout(insist);
}
