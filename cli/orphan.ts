/**
 * Notices that whoever started this process is gone. npx and npm stand between a terminal or a
 * supervisor and us, with a shell of theirs; killed, or ended by a closed terminal, they do not pass it
 * on, and what they started would run for ever.
 */
import { execFile } from 'node:child_process';

/** Between two looks. */
const LOOK_EVERY = 1000;
/** npm, its shell, tsx and its loader. */
const MOST_BETWEEN = 5;
const RUNNERS = /\b(npm|npx|pnpm|yarn|bun|tsx)\b/;

/**
 * Calls `then` once, when npm, npx or another of our starters has ended. Keeps nothing awake. Resolved
 * when it watches: who says "up" says it after that, since a starter that ends before is not known.
 */
export async function whenOrphaned(then: () => void): Promise<void> {
  const starters = await findStarters();
  if (starters.length === 0) return;
  const timer = setInterval(() => {
    if (starters.every(isAlive)) return;
    clearInterval(timer);
    then();
  }, LOOK_EVERY);
  timer.unref();
}

/** Our ancestors up to the farthest that is such a runner. Nobody beyond: a shell may end, and we stay. */
async function findStarters(): Promise<number[]> {
  const parents = await listParents();
  const chain: number[] = [];
  let upTo = 0;
  let pid = process.ppid;
  for (let n = 0; n < MOST_BETWEEN && parents.has(pid); n++) {
    const { parent, command } = parents.get(pid) as { parent: number; command: string };
    chain.push(pid);
    if (RUNNERS.test(command)) upTo = chain.length;
    pid = parent;
  }
  return chain.slice(0, upTo);
}

/** Empty where there is no ps (Windows): then a killed starter is not noticed. */
function listParents(): Promise<Map<number, { parent: number; command: string }>> {
  return new Promise((resolve) => {
    const options = { maxBuffer: 2 ** 26, env: { ...process.env, LC_ALL: 'C' } };
    execFile('ps', ['-A', '-ww', '-o', 'pid=,ppid=,args='], options, (_error, stdout) => {
      const lines = String(stdout ?? '').matchAll(/^\s*(\d+)\s+(\d+)\s+(.*)$/gm);
      resolve(
        new Map(
          Array.from(lines, ([, pid, parent, command = '']) => [
            Number(pid),
            { parent: Number(parent), command },
          ]),
        ),
      );
    });
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
