/**
 * A real Postgres 17 from npm: created on first use, started, and ended with us. We spawn the
 * postmaster ourselves (not pg_ctl), so that its pid is ours to guard and, in crash tests, to kill.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import {
  connectTo,
  endLeftover,
  HOST,
  initialise,
  OWNER,
  readPassword,
  urlOf,
} from './data-directory.ts';
import { findHome, type Home } from './native.ts';
import { choosePort } from './ports.ts';
import { cleanEnvironment, endChild } from './processes.ts';
import { guardChild } from './warden.ts';

export interface PostgresOptions {
  dataDirectory: string;
  /** true: survives a crash of the machine. false: throwaway, faster, more connections. */
  durable: boolean;
  /** Taken if free, else another is chosen and `log` says so. */
  port?: number;
  log?: (line: string) => void;
}

export interface Postgres {
  host: string;
  port: number;
  pid: number;
  dataDirectory: string;
  url(database?: string, user?: string, password?: string): string;
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
  /** kill -9 of the postmaster: what a crash looks like. Start again on the same data to recover. */
  kill(): Promise<void>;
  /** Stops and deletes the data. */
  remove(): Promise<void>;
}

export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const { durable, log = () => {} } = options;
  const home = findHome(resolve(options.dataDirectory));
  if (home.moved) {
    log(`Postgres cannot read this folder as its own user; its data is in ${home.moved}`);
  }
  if (!existsSync(join(home.dataDirectory, 'PG_VERSION'))) await initialise(home, durable);
  const password = readPassword(home.dataDirectory);
  await endLeftover(home.dataDirectory, password, log);

  const { child, port, owner } = await launch(home, password, durable, options.port, log);
  const stop = async (signal: NodeJS.Signals) => {
    await owner.end().catch(() => {});
    await endChild(child, signal, 30_000);
  };
  return {
    host: HOST,
    port,
    pid: child.pid as number,
    dataDirectory: home.dataDirectory,
    url: (database = 'postgres', user = 'postgres', secret = password) =>
      urlOf(port, database, user, secret),
    stop: (mode = 'fast') => stop(mode === 'fast' ? 'SIGINT' : 'SIGQUIT'),
    kill: () => endChild(child, 'SIGKILL'),
    async remove() {
      await stop('SIGQUIT');
      for (const path of [home.dataDirectory, logOf(home)]) {
        rmSync(path, { recursive: true, force: true });
      }
      if (home.moved) rmSync(dirname(home.moved), { recursive: true, force: true });
    },
  };
}

const logOf = (home: Home) => `${home.dataDirectory}.log`;

async function launch(
  home: Home,
  password: string,
  durable: boolean,
  wanted: number | undefined,
  log: (line: string) => void,
): Promise<{ child: ChildProcess; port: number; owner: pg.Client }> {
  for (let attempt = 1; ; attempt++) {
    const port = await choosePort(attempt === 1 ? wanted : undefined, HOST);
    if (attempt === 1 && wanted && port !== wanted) {
      log(`Port ${wanted} is taken; Postgres uses ${port}`);
    }
    const child = spawnServer(home, port, durable);
    const failed = new Promise<Error>((done) => {
      child.once('error', done);
      child.once('exit', (code) => done(new Error(`Postgres ended with code ${code}`)));
    });
    const owner = await Promise.race([
      failed,
      whenUp(home, child, urlOf(port, 'postgres', 'postgres', password)),
    ]);
    if (!(owner instanceof Error)) return { child, port, owner };

    await endChild(child, 'SIGQUIT');
    const tail = existsSync(logOf(home))
      ? readFileSync(logOf(home), 'utf8').trim().split('\n').slice(-12).join('\n')
      : '';
    // Somebody took the port since we chose it, or the sessions of a killed server are still going.
    const passing = /Address already in use|shared memory block .* is still in use/.test(tail);
    if (!passing || attempt === 20) {
      throw new Error(
        `Postgres did not start on ${home.dataDirectory}: ${owner.message}\n${tail}\n` +
          'With a server of your own: DATABASE_URL=postgres://… npm start.',
      );
    }
    await sleep(500);
  }
}

function spawnServer({ native, dataDirectory, runner }: Home, port: number, durable: boolean) {
  const settings = {
    listen_addresses: HOST,
    port,
    unix_socket_directories: '',
    ...(durable
      ? { fsync: 'on' }
      : { fsync: 'off', full_page_writes: 'off', max_connections: 200 }),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const logFile = openSync(`${dataDirectory}.log`, 'w', 0o600);
  // Its own process group: Ctrl-C in a terminal reaches us alone, and we stop it in good order.
  const child = spawn(join(native, 'bin/postgres'), ['-D', dataDirectory, ...args], {
    ...runner,
    cwd: '/',
    env: cleanEnvironment(),
    detached: true,
    stdio: ['ignore', logFile, logFile],
  });
  closeSync(logFile);
  if (child.pid) guardChild(child, 'SIGINT');
  return child;
}

async function whenUp({ dataDirectory }: Home, child: ChildProcess, url: string) {
  const end = Date.now() + 120_000;
  for (;;) {
    const owner = await connectTo(dataDirectory, url, OWNER);
    if (!(owner instanceof Error)) return owner;
    const ended = child.exitCode !== null || child.signalCode !== null;
    if (ended || (owner as pg.DatabaseError).code === '28P01' || Date.now() > end) return owner;
    await sleep(25);
  }
}
