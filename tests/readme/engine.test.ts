// sql/README.md speaks of the database that sql/ makes: its list of functions that run with their owner's
// rights, its picture of the tables and its states of a hold are compared with pg_catalog.
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const page = readFileSync(fromRoot('sql/README.md'), 'utf8');
const below = (heading: string) =>
  page.split(/^##+ /m).find((text) => text.startsWith(heading)) ?? '';
const diagram = (heading: string) => below(heading).match(/```mermaid\n(.*?)```/s)?.[1] ?? '';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
});
afterAll(() => database?.drop());

const column = async (sql: string, values: unknown[] = []) =>
  (await client.query({ text: sql, values, rowMode: 'array' })).rows.map(([value]) => value);

test('the list of security definer functions is that of pg_proc, each once and with its reason', async () => {
  const rows = [...below('security definer').matchAll(/^\| (`.*?) \| (.*) \|$/gm)];
  for (const [row, , reason] of rows) expect(reason?.length, row).toBeGreaterThan(20);
  const listed = rows.flatMap(([, names]) =>
    [...(names ?? '').matchAll(/`(\w+)`/g)].map((m) => m[1]),
  );
  const definers = await column(
    `select proname::text from pg_proc
     where prosecdef and pronamespace in ('public'::regnamespace, 'quota'::regnamespace)`,
  );
  expect(listed.toSorted()).toEqual(definers.toSorted());
});

test('the picture has every table, with its key, and no column that is not there', async () => {
  const entities = [...diagram('The tables').matchAll(/^ {2}(\w+) \{\n(.*?)^ {2}\}/gms)].map(
    ([, name, body]) => ({
      name: name as string,
      columns: [...(body ?? '').matchAll(/^ {4}\w+ (\w+)( PK)?/gm)].map(([, column, key]) => ({
        column: column as string,
        isKey: Boolean(key),
      })),
    }),
  );
  expect(entities.map(({ name }) => name).toSorted()).toEqual(
    (
      await column(
        `select relname::text from pg_class where relnamespace = 'quota'::regnamespace and relkind in ('r', 'p')`,
      )
    ).toSorted(),
  );
  for (const { name, columns } of entities) {
    const there = await column(
      `select attname::text from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped`,
      [`quota.${name}`],
    );
    expect(there, name).toEqual(expect.arrayContaining(columns.map(({ column }) => column)));
    const key = await column(
      `select a.attname::text from pg_index as i join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
       where i.indisprimary and i.indrelid = $1::regclass`,
      [`quota.${name}`],
    );
    const drawn = columns.filter(({ isKey }) => isKey).map(({ column }) => column);
    // The one row of the catalogue is drawn by what it says.
    if (name !== 'catalogue') expect(drawn.toSorted(), name).toEqual(key.toSorted());
  }
});

test('the states of a hold are those of the table', async () => {
  const states = new Set(
    [...diagram('The states of a hold').matchAll(/(\w+) --> (\w+)/g)].flatMap(([, from, to]) => [
      from,
      to,
    ]),
  );
  const [comment] = await column(
    `select col_description(attrelid, attnum) from pg_attribute
     where attrelid = 'quota.reservations'::regclass and attname = 'state'`,
  );
  const known: string[] = comment.replaceAll(/\(.*?\)| or |\./g, ',').match(/\w+/g);
  expect([...states].toSorted()).toEqual(known.toSorted());
});

test('every function that the page names is there', async () => {
  const prose = page.replaceAll(/```.*?```/gs, '');
  const named = [...prose.matchAll(/`(?:quota\.)?([a-z]+(?:_[a-z]+)+)(?:\(\))?`/g)].map(
    (m) => m[1],
  );
  const known = new Set(
    await column(
      `select proname::text from pg_proc where pronamespace in ('public'::regnamespace, 'quota'::regnamespace)
       union select relname from pg_class where relnamespace in ('public'::regnamespace, 'quota'::regnamespace)
       union select attname from pg_attribute as a join pg_class as c on c.oid = a.attrelid
         where c.relnamespace in ('public'::regnamespace, 'quota'::regnamespace)`,
    ),
  );
  const others = ['search_path', 'over_limit'];
  expect(named.filter((name) => !known.has(name) && !others.includes(name as string))).toEqual([]);
});

test('SECURITY.md grants users what pg_proc grants them', async () => {
  const granted = readFileSync(fromRoot('SECURITY.md'), 'utf8').match(
    /^- `authenticated`: executes (.*?); reads the views/m,
  )?.[1];
  const listed = [...(granted ?? '').matchAll(/`(\w+)`/g)].map((m) => m[1]);
  const may = await column(
    `select proname::text from pg_proc
     where pronamespace = 'public'::regnamespace and has_function_privilege('authenticated', oid, 'execute')`,
  );
  expect(listed.toSorted()).toEqual(may.toSorted());
});
