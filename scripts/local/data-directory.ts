/**
 * The folder of a database: made by initdb, its superuser's password in it, and perhaps a server that
 * an earlier run left behind.
 */
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { Home } from './native.ts';
import { cleanEnvironment, commandOf, isAlive, run, waitUntilGone } from './processes.ts';

export const HOST = '127.0.0.1';
/** The session that says "somebody is using this server"; a killed start leaves a server without it. */
export const OWNER = 'pgquota owner';
const PASSWORD_FILE = 'pgquota.password';

export function urlOf(port: number, database: string, user: string, password: string): string {
  return `postgres://${user}:${encodeURIComponent(password)}@${HOST}:${port}/${database}`;
}

/** initdb under another name, then a rename: a start that is interrupted leaves no half cluster. */
export async function initialise(home: Home, durable: boolean): Promise<void> {
  const { native, dataDirectory, runner } = home;
  const draft = `${dataDirectory}.new`;
  const passwordFile = `${draft}.password`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  writeFileSync(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 });
  if (runner.uid !== undefined && runner.gid !== undefined) {
    for (const path of [draft, passwordFile]) chownSync(path, runner.uid, runner.gid);
  }
  const args = ['-D', draft, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
  const { code, output } = await run(
    join(native, 'bin/initdb'),
    [...args, '-E', 'UTF8', '--locale=C.UTF-8', ...(durable ? [] : ['--no-sync'])],
    { ...runner, cwd: '/', env: cleanEnvironment() },
  );
  if (code !== 0) throw new Error(`initdb of ${dataDirectory} failed:\n${output.trim()}`);
  renameSync(passwordFile, join(draft, PASSWORD_FILE));
  renameSync(draft, dataDirectory);
}

export function readPassword(dataDirectory: string): string {
  try {
    return readFileSync(join(dataDirectory, PASSWORD_FILE), 'utf8').trim();
  } catch (error) {
    throw new Error(
      `Cannot read the password of the database in ${dataDirectory}: ${(error as Error).message}. ` +
        'If another user started it first, start as that user; to begin anew, delete that folder.',
    );
  }
}

/**
 * A postmaster.pid from last time. Its pid may be dead (Postgres sorts that out itself), a stranger
 * that got the same number (Postgres would refuse to start: the file goes), or really our server:
 * then somebody uses it, which is an error, or nobody does, and it is stopped.
 */
export async function endLeftover(
  dataDirectory: string,
  password: string,
  log: (line: string) => void,
): Promise<void> {
  const file = join(dataDirectory, 'postmaster.pid');
  if (!existsSync(file)) return;
  const [pidLine, , , portLine] = readFileSync(file, 'utf8').split('\n');
  const pid = Number(pidLine);
  if (!(pid > 0) || !isAlive(pid)) return;

  const client = await connectTo(
    dataDirectory,
    urlOf(Number(portLine), 'postgres', 'postgres', password),
  );
  if (!(client instanceof Error)) {
    const { rowCount } = await client.query(
      'select from pg_stat_activity where application_name = $1',
      [OWNER],
    );
    await client.end();
    if (rowCount) {
      throw new Error(
        `The database in ${dataDirectory} is already running (pid ${pid}, port ${portLine}) and in ` +
          'use by another start. End that one first (Ctrl-C in its terminal).',
      );
    }
    log(`A server was left running from last time (pid ${pid}); stopping it`);
  } else if (!/postgres/.test(await commandOf(pid))) {
    rmSync(file);
    return;
  }
  process.kill(pid, 'SIGINT');
  if (!(await waitUntilGone(pid, 30_000))) {
    throw new Error(
      `The Postgres with pid ${pid} holds ${dataDirectory} and does not stop. End it: kill -9 ${pid}`,
    );
  }
}

/** A session on the server at `url`, or why not: none answers, or it is not the one of this data. */
export async function connectTo(
  dataDirectory: string,
  url: string,
  applicationName?: string,
): Promise<pg.Client | Error> {
  const client = new pg.Client({
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: 5000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query('show data_directory');
    const shown = rows[0].data_directory;
    if (realpathSync(shown) === realpathSync(dataDirectory)) return client;
    throw new Error(`The server that answers there is another one, of ${shown}`);
  } catch (error) {
    await client.end().catch(() => {});
    return error as Error;
  }
}
