/**
 * The sessions of the studio. Everything is asked in a transaction, so that it works through a pooler in
 * transaction mode: reads in one that cannot write, previews in one that is rolled back.
 */
import pg from 'pg';
import { reach } from '../../cli/database.ts';
import { Problem } from '../../cli/problem.ts';
import { Bad } from './refusal.ts';

export type Row = Record<string, unknown>;

// biome-ignore lint/suspicious/noExplicitAny: the shape of a row is what its statement says
export type Query = <R = any>(text: string, values?: unknown[]) => Promise<R[]>;

export interface Database {
  /** One snapshot, in which nothing can be written. */
  read<T>(use: (query: Query) => Promise<T>, seconds?: number): Promise<T>;
  /** Committed; with `isPreview` rolled back, whatever it did. */
  write<T>(use: (query: Query) => Promise<T>, isPreview: boolean): Promise<T>;
  close(): Promise<void>;
}

/** Milliseconds: an operator who waits longer asks something smaller. */
const READ_FOR = 15_000;

export async function openDatabase(url: string): Promise<Database> {
  const { client, connectionString } = await reach(url);
  const { rows } = await client
    .query(
      `select to_regclass('public.usage_overview') is not null as is_installed,
         pg_has_role(session_user, 'service_role', 'member') as is_server,
         pg_has_role(session_user, (select nspowner from pg_namespace where nspname = 'quota'), 'member') as is_owner
       from (values (1)) as one
       where exists (select from pg_roles where rolname = 'service_role')`,
    )
    .finally(() => client.end());
  if (!rows[0]?.is_installed) {
    throw new Problem(
      'pgquota is not installed in this database.',
      'Apply its migrations first; npx pgquota init writes them.',
    );
  }
  // Who may be the server is it; an owner is trusted as it is.
  const role = rows[0].is_server && !rows[0].is_owner ? `set local role service_role;` : '';
  const pool = new pg.Pool({
    connectionString,
    application_name: 'pgquota studio',
    max: 5,
    idleTimeoutMillis: 30_000,
    connectionTimeoutMillis: 10_000,
    types: { getTypeParser: parserOf },
  });
  // A session that the server ended while nobody used it: the next one is made anew.
  pool.on('error', () => {});

  async function transact<T>(
    begin: string,
    end: 'commit' | 'rollback',
    use: (query: Query) => Promise<T>,
    milliseconds: number,
  ): Promise<T> {
    const session = await pool.connect();
    let broken: Error | undefined;
    try {
      await session.query(
        `${begin}; set local timezone = 'UTC'; set local datestyle = 'ISO'; set local jit = off;
         set local statement_timeout = ${milliseconds}; ${role}`,
      );
      const result = await use(async (text, values) => (await session.query(text, values)).rows);
      await session.query(end);
      return result;
    } catch (error) {
      await session.query('rollback').catch((lost) => {
        broken = lost;
      });
      throw error;
    } finally {
      session.release(broken);
    }
  }

  return {
    read: (use, seconds = READ_FOR / 1000) =>
      transact('begin isolation level repeatable read read only', 'commit', use, seconds * 1000),
    write: (use, isPreview) => transact('begin', isPreview ? 'rollback' : 'commit', use, READ_FOR),
    close: async () => {
      if (!pool.ending) await pool.end();
    },
  };
}

/** Numbers stay below 2^53, by contract; instants keep their microseconds, which order the ledger. */
const parserOf = ((oid: number, format?: 'text' | 'binary') => {
  if (oid === 20 || oid === 1700) return Number;
  if (oid === 1184) return instantOf;
  return pg.types.getTypeParser(oid, format as 'text');
}) as typeof pg.types.getTypeParser;

const instantOf = (text: string) =>
  text.endsWith('infinity') ? null : text.replace(' ', 'T').replace(/\+00$/, 'Z');

/** A place in a list, handed to the page and back. */
export const toCursor = (place: unknown[]) =>
  Buffer.from(JSON.stringify(place)).toString('base64url');

export function fromCursor(cursor: string, length: number): unknown[] {
  try {
    const place = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(place) && place.length === length) return place;
  } catch {}
  throw new Bad('this is no place in the list');
}
