/** One session with the user's database, and plain words when there is none. */
import { existsSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import pg from 'pg';
import { Problem, Unreachable } from './problem.ts';

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]', ''];

/** From the environment, or the .env file that most projects have. */
export function fromEnvironment(name: string): string | undefined {
  return (
    process.env[name] ??
    (existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8'))[name] : undefined)
  );
}

export function findDatabaseUrl(option: string | undefined): string {
  const url = option ?? fromEnvironment('DATABASE_URL');
  if (url) return url;
  throw new Problem(
    'No database named.',
    'Set DATABASE_URL (or --database-url) to postgresql://user:password@host:port/database. ' +
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

async function connect(url: string): Promise<pg.Client> {
  const attempts = withTls(url);
  for (const [i, connectionString] of attempts.entries()) {
    const client = new pg.Client({
      connectionString,
      application_name: 'pgquota',
      connectionTimeoutMillis: 10_000,
    });
    client.on('error', () => {}); // the query at hand rejects anyway
    try {
      await client.connect();
      return client;
    } catch (error) {
      await client.end().catch(() => {});
      const refusesTls = /does not support SSL/.test((error as Error).message);
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

function parse(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed && ['postgres:', 'postgresql:'].includes(parsed.protocol)) return parsed;
  throw new Problem(
    'The database url cannot be read.',
    'It looks like postgresql://user:password@host:port/database; write special characters of ' +
      'the password in percent form (# is %23, @ is %40, / is %2F).',
  );
}

function explain(error: Error & { code?: string }, url: string): Unreachable {
  const { hostname, username, pathname } = parse(url);
  const place = placeOf(url);
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
  }
  const ipv6Only = /^db\.\w+\.supabase\.co$/.test(hostname);
  return new Unreachable(
    `Cannot connect to ${place}: ${error.message || error.code}.`,
    ipv6Only
      ? 'The direct address of a Supabase project may need IPv6: take the one of the session pooler ("Connect" shows it).'
      : 'Check host and port in the database url, and that this machine may reach it.',
  );
}
