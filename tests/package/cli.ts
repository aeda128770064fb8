/** The command as a person types it: a process, its output and its exit code. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { inject } from 'vitest';

export interface Ended {
  code: number | null;
  output: string;
}

/** pgquota as these sources make it; `DATABASE_URL` is unset unless given. */
export function pgquota(
  cwd: string,
  args: string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  return startPgquota(cwd, args, environment).ended;
}

/** The same for what runs until it is stopped. */
export function startPgquota(cwd: string, args: string[], environment: NodeJS.ProcessEnv = {}) {
  return start(process.execPath, [inject('command'), ...args], { cwd, environment });
}

export function run(
  command: string,
  args: string[],
  options: { cwd: string; environment?: NodeJS.ProcessEnv },
): Promise<Ended> {
  return start(command, args, options).ended;
}

export function start(
  command: string,
  args: string[],
  options: { cwd: string; environment?: NodeJS.ProcessEnv },
) {
  const { DATABASE_URL: _, ...rest } = process.env;
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...rest, NO_COLOR: '1', FORCE_COLOR: undefined, ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
  let isOver = false;
  child.once('close', () => {
    isOver = true;
  });
  return {
    ended,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    /** What it said, once it has. */
    async said(words: RegExp): Promise<RegExpExecArray> {
      for (;;) {
        const found = words.exec(output);
        if (found) return found;
        if (isOver) throw new Error(`it ended without ${words}:\n${output}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

/** A folder of its own with these files in it. */
export function createProject(files: Record<string, string> = {}): {
  folder: string;
  remove(): void;
} {
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-project-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
