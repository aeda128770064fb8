/**
 * The whole local project: a database (our own Postgres, or the server of DATABASE_URL) that is
 * migrated and seeded, and the API in front of it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Api, startApi } from './api.ts';
import { withClient } from './client.ts';
import { isUpToDate, prepareExisting } from './existing.ts';
import { refuseChanged, rememberApplied } from './frozen.ts';
import type { GatewayOptions } from './gateway.ts';
import { migrate, seed } from './migrate.ts';
import { startPostgres } from './postgres.ts';
import { fromRoot } from './project.ts';
import { ensureRoles } from './roles.ts';

const DATABASE_PORT = 54322;
const API_PORT = 54321;

export interface StackOptions extends Pick<GatewayOptions, 'exactPort' | 'routes'> {
  /** Use this server. Otherwise ours is started, its data kept in `stateFolder`. */
  databaseUrl?: string;
  /** Default: the ignored folder .pgquota of this project. */
  stateFolder?: string;
  port?: number;
  /** Told each step, in the order of the steps. */
  log?: (line: string) => void;
}

export interface Stack extends Omit<Api, 'postgrestUrl'> {
  databaseUrl: string;
}

interface Database {
  url: string;
  /** What PostgREST signs in with. */
  apiUrl: string;
  stop(): Promise<void>;
}

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { stateFolder = fromRoot('.pgquota'), port = API_PORT, log = () => {} } = options;
  const jwtSecret = keepSecret(stateFolder);
  const database = options.databaseUrl
    ? await useExisting(options.databaseUrl, log)
    : await useOwn(stateFolder, log);
  try {
    await fill(database.url, !options.databaseUrl, log);
    const { routes, exactPort } = options;
    const api = await startApi({
      databaseUrl: database.apiUrl,
      jwtSecret,
      port,
      exactPort,
      routes,
    });
    if (api.port !== port) log(`Port ${port} is taken; the API uses ${api.port}`);
    log(`PostgREST answers at ${api.url}/rest/v1`);
    return {
      ...api,
      databaseUrl: database.url,
      async stop() {
        await api.stop();
        await database.stop();
      },
    };
  } catch (error) {
    await database.stop();
    throw error;
  }
}

async function useOwn(stateFolder: string, log: (line: string) => void): Promise<Database> {
  const dataDirectory = join(stateFolder, 'data');
  const postgres = await startPostgres({ dataDirectory, durable: true, port: DATABASE_PORT, log });
  log(`Postgres 17 runs on port ${postgres.port}, its data is in ${postgres.dataDirectory}`);
  try {
    const login = await withClient(postgres.url(), ensureRoles);
    return {
      url: postgres.url(),
      apiUrl: postgres.url('postgres', login.user, login.password),
      stop: () => postgres.stop(),
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

async function useExisting(url: string, log: (line: string) => void): Promise<Database> {
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url)) {
    throw new Error(
      'DATABASE_URL is not one: it looks like postgres://user:password@host:5432/name, with # / ? @ ' +
        'in a password written as %23 %2F %3F %40',
    );
  }
  const { host, pathname, username } = new URL(url);
  try {
    await withClient(url, (client) => prepareExisting(client, log));
  } catch (error) {
    throw new Error(`Cannot use the database ${host}${pathname}: ${(error as Error).message}`);
  }
  log(`Using ${host}${pathname} as ${username}; PostgREST signs in as the same role`);
  return { url, apiUrl: url, stop: async () => {} };
}

/** On a server that is not ours, what is installed already and the plans there stay as they are. */
async function fill(url: string, ours: boolean, log: (line: string) => void): Promise<void> {
  if (ours) await withClient(url, refuseChanged);
  const applied = !ours && (await withClient(url, isUpToDate)) ? [] : await migrate(url);
  if (ours) await withClient(url, rememberApplied);
  log(applied.length ? `Migrated: ${applied.join(', ')}` : 'The migrations are up to date');
  await withClient(url, async (client) => {
    const { rowCount } = await client.query('select from public.plan_catalog limit 1');
    if (!ours && rowCount) return log('Plans are there already and stay as they are');
    await seed(client);
    log('Seeded: the sample plans');
  });
}

/** Kept between runs, so that keys copied from one run are good in the next. */
function keepSecret(stateFolder: string): string {
  const file = join(stateFolder, 'jwt-secret');
  try {
    mkdirSync(stateFolder, { recursive: true });
    if (!existsSync(file)) writeFileSync(file, randomBytes(32).toString('hex'), { mode: 0o600 });
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new Error(
      `Cannot keep state in ${stateFolder}: ${(error as Error).message}. It must be yours to read ` +
        'and write; if another user started this project before, start as that user or delete it.',
    );
  }
}
