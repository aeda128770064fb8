// docs/entitlements.md is run: its document by the command, its types by the compiler, its code over HTTP.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { renderTypes } from '../../cli/types.ts';
import { run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { pgquota } from '../package/cli.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { openTables } from '../support/open-tables.ts';
import { type Rest, startRest } from '../support/rest.ts';

const page = readFileSync(fromRoot('docs/entitlements.md'), 'utf8');
const block = (language: string, name = '') =>
  new RegExp(`\`\`\`${language}\n${name && `// ${name}\n`}(.*?)\`\`\``, 's').exec(
    page,
  )?.[1] as string;
const DOCUMENT = block('json');
const MODULES = ['page.ts', 'server.ts', 'trial.ts'];
/** What the page takes as given. */
const GIVEN = `
import type { SupabaseClient } from '@supabase/supabase-js';
declare const supabase: SupabaseClient;
declare const supabaseOfTheUser: SupabaseClient;
declare const userId: string;
`;

let database: TestDatabase;
let client: pg.Client;
let rest: Rest;
let folder: string;

beforeAll(async () => {
  // Beside this file, so that packages are found.
  folder = mkdtempSync(join(import.meta.dirname, '.run-'));
  writeFileSync(join(folder, 'plans.json'), DOCUMENT);
  for (const name of MODULES) {
    const code = block('ts', name).replaceAll("'pgquota'", "'../../../types/index.ts'");
    writeFileSync(join(folder, name), `${GIVEN}${code}\nexport {};\n`);
  }
  database = await createDatabase();
  client = await database.connect();
  rest = await startRest(database);
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await rest?.stop();
  await database?.drop();
});

test('npx pgquota types writes what a document names, and prints it without a target', async () => {
  const printed = await pgquota(folder, ['types', 'plans.json']);
  expect(printed).toEqual({ code: 0, output: renderTypes(JSON.parse(DOCUMENT), 'plans.json') });
  const written = await pgquota(folder, ['types', 'plans.json', 'plans.types.ts']);
  expect(written.output).toBe('plans.json → plans.types.ts\n');
  expect(readFileSync(join(folder, 'plans.types.ts'), 'utf8')).toBe(printed.output);

  const none = await pgquota(folder, ['types']);
  expect([none.code, none.output]).toEqual([2, expect.stringContaining('types needs a file')]);
  writeFileSync(join(folder, 'wrong.json'), '{"features": {"a": {"kind": "x"}}, "plans": {}}');
  const wrong = await pgquota(folder, ['types', 'wrong.json']);
  expect(wrong.code).toBe(1);
  expect(wrong.output).toMatch(/wrong\.json:1:21: features\.a\.kind: found "x"/);
});

test('the page and the types compile, and a typo does not', async () => {
  const strange = {
    features: {
      'a"b\n': {},
      files: { kind: 'gauge' },
      on: { kind: 'switch' },
      size: { kind: 'value' },
      any: { kind: 'value' },
      none: { kind: 'value' },
    },
    plans: {
      'π`${0}': {
        limits: { 'a"b\n': { day: 1, month: null } },
        values: { on: true, size: 5, any: { list: ['x', 1], more: {}, no: null } },
      },
      q: { limits: { files: { lifetime: 1 } }, values: { size: 'large', any: [] } },
    },
  };
  writeFileSync(join(folder, 'strange.types.ts'), renderTypes(strange, 'a\nb.json'));
  writeFileSync(
    join(folder, 'empty.types.ts'),
    renderTypes({ features: {}, plans: {} }, 'plans.json'),
  );
  writeFileSync(
    join(folder, 'asserted.ts'),
    `
import type { SupabaseClient } from '@supabase/supabase-js';
import { createUsageClient } from '../../../types/index.ts';
import type * as empty from './empty.types.ts';
import type { Counted, Feature, Periods, Plan, Switch, Value, Values } from './plans.types.ts';
import type * as strange from './strange.types.ts';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_ extends true>() => {};
same<Same<Counted, 'ai_generation'>>();
same<Same<Switch, 'sso' | 'new_editor'>>();
same<Same<Value, 'max_context' | 'models'>>();
same<Same<Feature, 'ai_generation' | 'sso' | 'new_editor' | 'max_context' | 'models'>>();
same<Same<Values, { sso: boolean; max_context: number; models: string[]; new_editor: boolean }>>();
same<Same<Periods, { ai_generation: 'month' }>>();
same<Same<Plan, 'free' | 'pro' | 'acme_2026'>>();
same<Same<empty.Feature, never>>();
same<Same<keyof empty.Values, never>>();
same<Same<strange.Counted, 'a"b\\n' | 'files'>>();
same<Same<strange.Periods, { 'a"b\\n': 'day' | 'month'; files: 'lifetime' }>>();
same<Same<strange.Plan, 'π\`\${0}' | 'q'>>();
same<Same<strange.Values['size'], number | string>>();
same<Same<strange.Values['none'], unknown>>();
export const any: strange.Values['any'][] = [{ list: ['x', 1], more: { a: 1 }, no: null }, []];

declare const supabase: SupabaseClient;
const usage = createUsageClient<Feature>(supabase);
await usage.consumeUsage({ feature: 'ai_generation' satisfies Counted, subject: 'ada' });
await usage.setValue({ subject: 'ada', feature: 'sso', value: false });
// @ts-expect-error a typo
await usage.setValue({ subject: 'ada', feature: 'soo', value: false });
// @ts-expect-error a value is needed, if only null
await usage.setValue({ subject: 'ada', feature: 'sso' });
`,
  );
  const { output } = await run(
    process.execPath,
    [
      join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc'),
      ...['--ignoreConfig', '--noEmit', '--strict', '--skipLibCheck', '--target', 'es2023'],
      ...['--module', 'nodenext', '--verbatimModuleSyntax', '--allowImportingTsExtensions'],
      ...['--lib', 'es2023,dom', '--types', 'node'],
      ...[...MODULES, 'asserted.ts'].map((name) => join(folder, name)),
    ],
    { cwd: fromRoot('.') },
  );
  expect(output.trim()).toBe('');
});

test('what the page does over HTTP comes out as it says', async () => {
  const applied = await pgquota(folder, ['plans', 'plans.json'], { DATABASE_URL: database.url });
  expect(applied.output).toMatch(/^ {2}\+ value +pro\/sso +value: true$/m);

  const user = crypto.randomUUID();
  Object.assign(globalThis, {
    supabase: rest.asService(),
    supabaseOfTheUser: rest.asUser(user),
    userId: user,
  });
  const play = async (name: string) => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    try {
      await import(`${pathToFileURL(join(folder, name)).href}?${crypto.randomUUID()}`);
      return log.mock.calls[0];
    } finally {
      log.mockRestore();
    }
  };
  const of = (max_context: unknown, models: unknown, sso: unknown) => [
    { feature: 'max_context', enabled: true, value: max_context },
    { feature: 'models', enabled: true, value: models },
    { feature: 'sso', enabled: sso !== null, value: sso },
  ];
  expect(await play('page.ts')).toEqual([of(8000, ['small'], null)]);
  expect(await play('server.ts')).toEqual([false, 8000]);
  await play('trial.ts');
  expect(await play('page.ts')).toEqual([of(32_000, ['small'], true)]);
  expect(await play('server.ts')).toEqual([true, 32_000]);

  // Who may: nobody but the server writes, nobody signed out reads, nobody reads others.
  const own = rest.asUser(user);
  const args = { subject: user, feature: 'max_context', value: 1_000_000 };
  expect((await own.rpc('set_value', args)).error?.code).toBe('42501');
  expect((await rest.asAnon().rpc('set_value', args)).error?.code).toBe('42501');
  expect((await rest.asAnon().from('entitlements').select('*')).error?.code).toBe('42501');
  const stranger = rest.asUser(crypto.randomUUID());
  expect((await stranger.from('entitlements').select('*').eq('subject', user)).data).toEqual([]);
  expect((await own.rpc('consume_usage', { feature: 'sso' })).error?.code).toBe('QFEAT');

  // A visitor sees the plans that are on offer, with all they have.
  const { data } = await rest
    .asAnon()
    .from('plan_catalog')
    .select('plan, feature, value')
    .not('value', 'is', null);
  expect(data).toHaveLength(5);
  expect(data).toContainEqual({ plan: 'pro', feature: 'models', value: ['small', 'large'] });
  expect(data?.filter(({ plan }) => plan === 'acme_2026')).toEqual([]);
});

test('the policy of the page lets in who has it', async () => {
  await client.query(`create schema if not exists auth; grant usage on schema auth to authenticated;
    create or replace function auth.jwt() returns jsonb language sql stable
    as $$ select current_setting('request.jwt.claims', true)::jsonb $$`);
  await client.query(block('sql'));
  await client.query('grant insert on sso_connections to authenticated');
  expect(await openTables(client)).toEqual([]);
  await client.query(`select public.set_value('ada', 'sso', 'true')`);
  const connect = async (sub: string, owner = sub) => {
    await client.query('begin');
    try {
      await client.query(
        `select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`,
        [JSON.stringify({ sub })],
      );
      await client.query(`insert into sso_connections values ($1, 'https://idp.example')`, [owner]);
      return 'ok';
    } catch (error) {
      return (error as { code: string }).code;
    } finally {
      await client.query('rollback');
    }
  };
  expect(await connect('ada')).toBe('ok');
  expect(await connect('bob')).toBe('42501');
  expect(await connect('bob', 'ada')).toBe('42501');
});
