// The README is run: its SQL against a database, its TypeScript over HTTP against the same.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { SupabaseClient } from '@supabase/supabase-js';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { STARTER_PLANS } from '../../cli/starter-plans.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { openTables } from '../support/open-tables.ts';
import { type Rest, startRest } from '../support/rest.ts';

const readme = readFileSync(fromRoot('README.md'), 'utf8');
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(
    (match) => match[1] as string,
  );

let database: TestDatabase;
let rest: Rest;
let folder: string;

beforeAll(async () => {
  database = await createDatabase();
  rest = await startRest(database);
  // Beside this file, so that packages are found.
  folder = mkdtempSync(join(import.meta.dirname, '.run-'));
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await rest?.stop();
  await database?.drop();
});

/** Runs a block as a module of its own, with the clients that the README takes as given. */
async function run(code: string, given: { supabase: SupabaseClient; userId: string }) {
  const lines: unknown[][] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((...line) => void lines.push(line));
  const file = join(folder, `${crypto.randomUUID()}.ts`);
  Object.assign(globalThis, { ...given, supabaseOfTheUser: rest.asUser(given.userId) });
  writeFileSync(file, code.replaceAll("'pgquota'", "'../../../types/index.ts'"));
  try {
    await import(pathToFileURL(file).href);
  } finally {
    log.mockRestore();
  }
  return lines;
}

/** What psql would show: the columns, and the rows as text. */
function shown(result: pg.QueryArrayResult): string[][] {
  const text = (value: unknown) => (typeof value === 'boolean' ? String(value)[0] : String(value));
  const table = [result.fields.map(({ name }) => name), ...result.rows.map((row) => row.map(text))];
  return result.rows.length ? (table as string[][]) : [['(0 rows)']];
}

/** The README's prompts and, below each, the table that it prints. */
const transcript = blocks('console')
  .flatMap((block) => block.split(/^=> /m).slice(1))
  .map((part) => {
    const [statement = '', ...lines] = part.trimEnd().split('\n');
    const cells = lines.filter((line) => !/^[-+]+$/.test(line));
    return { statement, table: cells.map((line) => line.split('|').map((cell) => cell.trim())) };
  });

describe('the first screen', () => {
  let own: TestDatabase;
  let api: Rest;
  afterAll(async () => {
    await api?.stop();
    await own?.drop();
  });

  test('shows answers as they are: the fiftieth, the fifty-first over HTTP, and the proof', async () => {
    own = await createDatabase();
    const client = await own.connect();
    await setClock(client, '2026-11-20T12:00:00Z');
    await client.query(blocks('sql')[0] as string);
    await client.query(`select consume_usage('ai_generation', 25, 'maya')`);
    await setClock(client, '2026-11-21T12:00:00Z');
    await client.query(`select consume_usage('ai_generation', 24, 'maya')`);
    api = await startRest(own);

    expect(transcript).toHaveLength(2);
    for (const { statement, table } of transcript) {
      const result = await client.query({ text: statement, rowMode: 'array' });
      expect(shown(result), statement).toEqual(table);
    }

    const [, path, body, status, statusText, retryAfter, answer] =
      blocks('http')[0]?.match(
        /^POST (\S+)\n(\{.*\})\n\n(\d+) (.*)\nRetry-After: (\d+)\n(\{.*\})\n$/,
      ) ?? [];
    const response = await fetch(`${api.url}${path}`, {
      method: 'POST',
      headers: {
        apikey: api.serviceRoleKey,
        authorization: `Bearer ${api.serviceRoleKey}`,
        'content-type': 'application/json',
      },
      body: body as string,
    });
    expect(`${response.status} ${response.statusText}`).toBe(`${status} ${statusText}`);
    expect(response.headers.get('retry-after')).toBe(retryAfter);
    const { details, ...rest } = (await response.json()) as Record<string, string>;
    expect({ ...rest, details: expect.any(String) }).toEqual({
      ...JSON.parse(answer as string),
      details: expect.any(String),
    });
    expect(JSON.parse(details as string)).toMatchObject({ allowed: false, used: 50, limit: 50 });
  });
});

describe('the README', () => {
  test('applies the plan document that init writes', () => {
    const [document] = blocks('sql').flatMap(
      (sql) => sql.match(/apply_plans\('(\{.*?\})'\)/s)?.[1] ?? [],
    );
    expect(JSON.parse(document as string)).toEqual(STARTER_PLANS);
  });

  test('has SQL that runs from top to bottom and leaves nothing unproved', async () => {
    const client = await database.connect();
    for (const sql of blocks('sql')) await client.query(sql);
    expect(await openTables(client)).toEqual([]);

    const { rows: plans } = await client.query(
      `select distinct subject, plan from current_usage
       where subject in ('ada', 'grace', 'lin') order by subject`,
    );
    expect(plans).toEqual([
      { subject: 'ada', plan: 'pro' },
      { subject: 'grace', plan: 'free' },
      { subject: 'lin', plan: 'pro' },
    ]);
    await client.query(
      `insert into kb_files (user_id, name) select 'grace', i::text from generate_series(1, 10) as i`,
    );
    await expect(
      client.query(`insert into kb_files (user_id, name) values ('grace', 'one more')`),
    ).rejects.toMatchObject({ code: 'PT402', hint: '/settings/billing' });
    expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
  });

  test('has TypeScript that runs, and comes to a refusal', async () => {
    const code = blocks('ts');
    expect(code).toHaveLength(3);
    const given = { supabase: rest.asService(), userId: 'reader' };

    const [refusal] = await run(code[0] as string, given);
    expect(refusal).toEqual([
      402,
      expect.objectContaining({ code: 'USAGE_LIMIT_EXCEEDED', upgrade_url: '/settings/billing' }),
    ]);
    await run(code[1] as string, given);
    expect(await run(code[2] as string, given)).toEqual([['a generation', 1500]]);
  });

  test('names every function and view of the API', async () => {
    const client = await database.connect();
    const { rows } = await client.query(
      `select proname as name from pg_catalog.pg_proc
       where pronamespace = 'public'::regnamespace and proname <> 'subscription_changed'
       union select relname from pg_catalog.pg_class
       where relnamespace = 'public'::regnamespace and relkind = 'v'`,
    );
    expect(rows.map((row) => row.name).filter((name) => !readme.includes(name))).toEqual([]);
  });
});
