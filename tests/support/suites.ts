/**
 * Runs pgTAP suites over node `pg`, for machines without psql and pg_prove. A suite is plain SQL
 * (`begin; select plan(n); … select * from finish(); rollback;`) and pg_prove runs the same file.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import pg from 'pg';
import { fromRoot } from '../../scripts/local/project.ts';
import type { TestDatabase } from './database.ts';

export interface Suite {
  /** The path below tests/pgtap, which is also its name in reports. */
  name: string;
  path: string;
}

export function findSuites(): Suite[] {
  const root = fromRoot('tests/pgtap');
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.sql'))
    .sort()
    .map((name) => ({ name, path: join(root, name) }));
}

/** The suite's TAP. An SQL error ends it as a bail-out, after the lines that came before it. */
export async function runSuite(
  suite: Suite,
  database: Pick<TestDatabase, 'connect'>,
  edit: (sql: string) => string = (sql) => sql,
): Promise<string> {
  const client = await database.connect();
  try {
    await client.query('set search_path = public, extensions');
    return await collectTap(client, edit(readFileSync(suite.path, 'utf8')), suite);
  } finally {
    await client.end();
  }
}

function collectTap(client: pg.Client, sql: string, suite: Suite): Promise<string> {
  const lines: string[] = [];
  // Row events, not the result: an error at the end would throw away the rows before it.
  const query = new pg.Query({ text: sql, rowMode: 'array' } as never);
  query.on('row', (row) => {
    const columns = row as unknown as unknown[];
    lines.push(columns.map((value) => value ?? '').join('|'));
  });
  return new Promise((resolve) => {
    query.on('end', () => resolve(`${lines.join('\n')}\n`));
    query.on('error', (error) => {
      const { message, code, position } = error as pg.DatabaseError;
      const line = position ? sql.slice(0, Number(position)).split('\n').length : '?';
      const place = `${relative(process.cwd(), suite.path)}:${line}`;
      resolve(`${lines.join('\n')}\nBail out! ${place}: ${message.split('\n')[0]} (${code})\n`);
    });
    client.query(query);
  });
}
