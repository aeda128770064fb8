// The generator: current, the same every time, and clear about what it cannot express.
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generateTypes } from '../../scripts/generate-types.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { readCatalogue } from '../../scripts/types/catalogue.ts';
import { renderClient } from '../../scripts/types/client.ts';
import { mayBeNull, PERIODS } from '../../scripts/types/rules.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
});

afterAll(() => database.drop());

/** The client's text, with this SQL added to the database for the moment. */
async function clientWith(sql: string): Promise<string> {
  await client.query('begin');
  try {
    await client.query(sql);
    return renderClient(await readCatalogue(client));
  } finally {
    await client.query('rollback');
  }
}

const FUNCTION = `
  create function public.try_it(feature text) returns bigint language sql return 1;
  comment on function public.try_it(text) is 'Tries it.';
  grant execute on function public.try_it(text) to service_role;`;

test('the committed files are what two databases give, to the letter', async () => {
  const other = await createDatabase();
  for (const { url } of [database, other]) {
    for (const [name, content] of Object.entries(await generateTypes(url))) {
      expect(content, name).toBe(readFileSync(fromRoot(name), 'utf8'));
    }
  }
  await other.drop();
}, 120_000); // the Supabase CLI on a busy machine

test('a new function becomes a documented method', async () => {
  const text = await clientWith(`
    create function public.try_it(
      feature text, "limit" bigint, period text, amount bigint default 2, at timestamptz default null,
      data jsonb default '{}', ttl interval default '15 minutes'
    ) returns setof public.usage_decision language sql begin atomic select null::public.usage_decision; end;
    comment on function public.try_it is
      'Tries it */ once; limit is in units, null is unlimited. Errors: QAMNT too large; 55P03 retry.';
    grant execute on function public.try_it to service_role;`);
  expect(text).toContain(
    'tryIt(args: TryItArgs<Feature>, options?: CallOptions): Promise<UsageDecision<Feature>[]>;',
  );
  for (const line of [
    'feature: Feature;',
    'limit: number | null;',
    'period: Period;',
    'amount?: number;',
    'at?: string | null;',
    'data?: JsonObject | null;',
    'ttl?: string;',
    ' * Tries it *\\/ once; limit is in units, null is unlimited.',
    ' * - `QAMNT` too large',
    ' * - `55P03` retry',
  ]) {
    expect(text).toContain(`\n${line}\n`);
  }
});

test('a parameter may be null exactly where null has a meaning, as the suite of nulls says', async () => {
  const suite = readFileSync(fromRoot('tests/pgtap/rules/null_arguments.test.sql'), 'utf8');
  const rows = [...suite.matchAll(/^ {2}\('public\.(\w+)', '(\w+)', .*, '(\w+)'\)[,;]$/gm)];
  expect(rows.length).toBeGreaterThan(50);
  const { routines } = await readCatalogue(client);
  for (const [, name, argument, expected] of rows) {
    const routine = routines.find((one) => one.name === name);
    const parameter = routine?.parameters.find((one) => one.name === argument);
    if (!routine || !parameter) expect.unreachable(`${name} has no ${argument}`);
    const hasMeaning = expected === 'value' || expected === 'void';
    // A subject that is left out is the signed-in user; the suite asks as the server.
    const isCaller = argument === 'subject' && parameter.default !== null;
    expect(mayBeNull(parameter, routine), `${name}, ${argument}`).toBe(hasMeaning || isCaller);
  }
});

test('the periods are those that a plan document may name', () => {
  const schema = JSON.parse(readFileSync(fromRoot('schema/plans.schema.json'), 'utf8'));
  expect(PERIODS).toEqual(Object.keys(schema.definitions.limits.properties));
});

test('what it cannot express stops it, with the name and what to do', async () => {
  const cases: [string, RegExp][] = [
    [
      'create function public.try_it() returns bigint language sql return 1',
      /try_it\(\) has no comment/,
    ],
    [
      `${FUNCTION} comment on function public.try_it is 'Tries it. Errors: it may fail.'`,
      /try_it\(\) lists "it may fail"/,
    ],
    [
      `${FUNCTION} revoke execute on function public.try_it from public, anon, authenticated, service_role`,
      /try_it\(\) may be executed by no role/,
    ],
    [
      `${FUNCTION} create function public.try_it(amount bigint) returns bigint language sql return 1`,
      /becomes tryIt, and so does try_it\(\)/,
    ],
    [
      'create procedure public.try_it() language sql begin atomic select 1; end',
      /try_it\(\) is a procedure/,
    ],
    [FUNCTION.replaceAll('feature text', 'text'), /parameter \(without a name\)/],
    [
      FUNCTION.replaceAll('feature text', 'out a bigint').replaceAll('(text)', '()'),
      /parameter a is out/,
    ],
    [
      FUNCTION.replaceAll('feature text', 'variadic a text[]').replaceAll('(text)', '(text[])'),
      /parameter a is variadic/,
    ],
    [
      FUNCTION.replaceAll('feature text', 'a money').replaceAll('(text)', '(money)'),
      /parameter a is of type money/,
    ],
    [
      FUNCTION.replace('returns bigint', 'returns money').replace('return 1', "return '1'::money"),
      /returns money/,
    ],
    [
      "create view public.try_it as select 1 as a; comment on view public.try_it is 'One.'",
      /view try_it, a has no comment/,
    ],
    ['create type public.try_it as (a text)', /type try_it has no comment/],
    [
      'create view public.usage_event as select 1 as a',
      /becomes UsageEvent, and so does usage_event/,
    ],
  ];
  for (const [sql, message] of cases) {
    await expect(clientWith(sql), sql).rejects.toThrow(message);
  }
});
