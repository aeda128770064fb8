/**
 * A small process that outlives this one by a moment. Whatever way we end (an exception, a closed
 * terminal, kill -9), its stdin closes; then it ends the servers and removes the folders it was told
 * to guard. Without it, a killed `npm start` would leave a Postgres and a PostgREST behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';

const PROGRAM = `
  const { rmSync } = require('node:fs');
  const guarded = new Map();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
  const kill = (pid, signal) => { try { process.kill(pid, signal); return true } catch { return false } };
  let text = '';
  process.stdin.on('data', (chunk) => {
    text += chunk;
    for (let end; (end = text.indexOf('\\n')) >= 0; text = text.slice(end + 1)) {
      const line = JSON.parse(text.slice(0, end));
      if (line.forget) guarded.delete(line.key); else guarded.set(line.key, line);
    }
  });
  process.stdin.on('end', () => {
    const things = [...guarded.values()];
    const pids = things.filter((thing) => thing.pid);
    for (const { pid, signal } of pids) kill(pid, signal);
    const patience = Date.now() + 8000;
    const wait = setInterval(() => {
      const left = pids.filter(({ pid }) => kill(pid, 0));
      if (left.length && Date.now() < patience) return;
      for (const { pid } of left) kill(pid, 'SIGKILL');
      for (const { folder } of things) if (folder) rmSync(folder, { recursive: true, force: true });
      clearInterval(wait);
    }, 20);
  });
`;

let warden: ChildProcess | undefined;

function tell(line: object): void {
  if (!warden) {
    // The last argument does nothing but tell a reader of `ps` whose warden it is.
    warden = spawn(process.execPath, ['-e', PROGRAM, `warden of ${process.argv[1]}`], {
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    warden.stdin?.on('error', () => {});
    warden.unref();
    (warden.stdin as unknown as { unref(): void }).unref();
  }
  warden.stdin?.write(`${JSON.stringify(line)}\n`);
}

/** Guards a child until it exits by itself. */
export function guardChild(child: ChildProcess, signal: NodeJS.Signals): void {
  const key = `pid ${child.pid}`;
  tell({ key, pid: child.pid, signal });
  child.once('exit', () => tell({ key, forget: true }));
}

/** Guards a folder that must not stay; the returned function ends that, after it was removed. */
export function guardFolder(folder: string): () => void {
  const key = `folder ${folder}`;
  tell({ key, folder });
  return () => tell({ key, forget: true });
}

/** Ends everything still guarded, now, and returns when that is done. */
export async function endGuarded(): Promise<void> {
  const ending = warden;
  warden = undefined;
  if (!ending || ending.exitCode !== null) return;
  ending.ref();
  const gone = new Promise<void>((resolve) => ending.once('exit', () => resolve()));
  ending.stdin?.end();
  await gone;
}
