/** One session with the user's database, and plain words when there is none. */
import { existsSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import type pg from 'pg';
import { Problem, Unreachable } from './problem.ts';

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]', ''];

/** From the environment, or the .env file that most projects have. */
export function fromEnvironment(name: string): string | undefined {
  return process.env[name] || fromFile(name);
}

/** An empty variable names nothing, as an empty line of .env does not. */
const fromFile = (name: string) =>
  (existsSync('.env') && parseEnv(readFileSync('.env', 'utf8'))[name]) || undefined;

export interface NamedDatabase {
  url: string;
  from: 'option' | 'environment' | '.env';
}

export function findDatabase(option: string | undefined): NamedDatabase | undefined {
  const { DATABASE_URL } = process.env;
  if (option) return { url: option, from: 'option' };
  if (DATABASE_URL) return { url: DATABASE_URL, from: 'environment' };
  const url = fromFile('DATABASE_URL');
  return url ? { url, from: '.env' } : undefined;
}

export function findDatabaseUrl(option: string | undefined): string {
  const database = findDatabase(option);
  if (database) return database.url;
  throw new Problem(
    'No database named.',
    'Set DATABASE_URL (or --database-url, or a line in a file .env here) to ' +
      'postgresql://user:password@host:port/database. ' +
      'Of a Supabase project: the button "Connect" shows it; the local stack is ' +
      'postgresql://postgres:postgres@127.0.0.1:54322/postgres.',
  );
}

/** `db.example.com:5432/app`: enough to see that it is the right one, and no password. */
export function placeOf(url: string): string {
  const { host, pathname, searchParams } = parse(url);
  return `${host || searchParams.get('host') || 'localhost'}${pathname}`;
}

export async function withDatabase<T>(
  url: string,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await connect(url);
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

export const connect = async (url: string): Promise<pg.Client> => (await reach(url)).client;

/** A session, and the address that led to it: the one given, with the sslmode that the server takes. */
export async function reach(url: string): Promise<{ client: pg.Client; connectionString: string }> {
  const attempts = withTls(url);
  const { Client } = (await import('pg')).default;
  for (const [i, connectionString] of attempts.entries()) {
    const client = new Client({
      connectionString,
      application_name: 'pgquota',
      connectionTimeoutMillis: 10_000,
    });
    client.on('error', () => {}); // the query at hand rejects anyway
    try {
      await client.connect();
      return { client, connectionString };
    } catch (error) {
      await client.end().catch(() => {});
      const refusesTls = NO_TLS.test((error as Error).message);
      if (!refusesTls || i === attempts.length - 1) throw explain(error as pg.DatabaseError, url);
    }
  }
  throw new Error('unreachable');
}

/**
 * sslmode as psql understands it: `require` encrypts without a certificate authority (Supabase's is
 * its own), and by default it is encrypted where the server can. node-pg alone would do neither.
 */
export function withTls(url: string): string[] {
  const parsed = parse(url);
  const mode =
    parsed.searchParams.get('sslmode') ??
    process.env.PGSSLMODE ??
    (LOOPBACK.includes(parsed.hostname) ? 'disable' : 'prefer');
  const modes = mode === 'prefer' || mode === 'allow' ? ['require', 'disable'] : [mode];
  return modes.map((one) => {
    const attempt = new URL(parsed);
    attempt.searchParams.set('sslmode', one);
    if (one !== 'no-verify') attempt.searchParams.set('uselibpqcompat', 'true');
    return attempt.href;
  });
}

/** Of an address that cannot be read: false. */
export function isLoopback(url: string): boolean {
  return URL.canParse(url) && LOOPBACK.includes(new URL(url).hostname);
}

const SHAPE =
  'It is postgresql://user:password@host:port/database, with special characters of user and password ' +
  'in percent form: % is %25, @ is %40, # is %23, / is %2F, ? is %3F, : is %3A.';

/**
 * Without percent form the first # / or ? of a password ends the host: the rest of the password, and the
 * real host behind its @, would be taken for a database, and shown in the next message.
 */
function parse(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !['postgres:', 'postgresql:'].includes(parsed.protocol)) {
    throw new Unreachable('The database url cannot be read.', SHAPE);
  }
  const isCut = parsed.hash || `${parsed.pathname}${parsed.search}`.includes('@');
  const parts = [parsed.username, parsed.password, parsed.pathname];
  if (isCut || url.trim() !== url || !parts.every(isDecodable)) {
    throw new Unreachable(
      'The database url has a character that must be in percent form, in its user or password.',
      SHAPE,
    );
  }
  return parsed;
}

function isDecodable(part: string): boolean {
  try {
    decodeURIComponent(part);
    return true;
  } catch {
    return false;
  }
}

const NO_TLS = /does not support SSL/;
const PLAIN_REFUSED = /no pg_hba\.conf entry .*(no encryption|SSL off)/;
const CERTIFICATE = /certificate|self.signed|altname/i;

function explain(error: Error & { code?: string }, url: string): Unreachable {
  const { hostname, username, pathname } = parse(url);
  const place = placeOf(url);
  if (NO_TLS.test(error.message)) {
    return new Unreachable(
      `${place} speaks no TLS, and ${asksForTls(url)} asks for it.`,
      'A server on this machine or behind a tunnel: sslmode=disable in the database url. Else turn ssl on in the server.',
    );
  }
  if (PLAIN_REFUSED.test(error.message)) {
    return new Unreachable(
      `${place} takes encrypted connections only, or none of ${decodeURIComponent(username) || 'this user'} from here: ${error.message}.`,
      'Take sslmode=disable out of the database url; else its pg_hba.conf has no line for this user and address.',
    );
  }
  if (CERTIFICATE.test(`${error.code} ${error.message}`)) {
    return new Unreachable(
      `The certificate of ${place} is not trusted: ${error.message}.`,
      'sslrootcert=<file> in the database url names its authority; sslmode=require encrypts without asking for one.',
    );
  }
  switch (error.code) {
    case '28P01':
    case '28000':
      return new Unreachable(
        `${place} refuses ${decodeURIComponent(username) || 'this user'}: ${error.message}.`,
        'Check user and password in the database url.',
      );
    case '3D000':
      return new Unreachable(
        `There is no database "${decodeURIComponent(pathname.slice(1))}" at ${place}.`,
        'Check the last part of the database url, or create the database.',
      );
    case 'ECONNREFUSED':
      return new Unreachable(
        `Nothing answers at ${place}.`,
        'Is the server running, and is the port right?',
      );
    case 'ENOTFOUND':
      return new Unreachable(`There is no host ${hostname}.`, 'Check the database url.');
  }
  const ipv6Only = /^db\.\w+\.supabase\.co$/.test(hostname);
  return new Unreachable(
    `Cannot connect to ${place}: ${error.message || error.code}.`,
    ipv6Only
      ? 'The direct address of a Supabase project may need IPv6: take the one of the session pooler ("Connect" shows it).'
      : 'Check host and port in the database url, and that this machine may reach it.',
  );
}

const asksForTls = (url: string) =>
  parse(url).searchParams.has('sslmode')
    ? `sslmode=${parse(url).searchParams.get('sslmode')}`
    : 'PGSSLMODE';
