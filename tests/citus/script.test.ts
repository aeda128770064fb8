// sql/optional/citus.sql, as far as it can be looked at without Citus: that it knows every table, says what
// is missing, and that the command which tries it on a cluster says so where there is none.
import { readdirSync, readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { cleanEnvironment, run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase } from '../support/database.ts';
import { findSuites } from '../support/suites.ts';
import { NOT_RACED } from './races.ts';
import { NOT_PLAYED } from './suites.ts';

const read = (name: string) => readFileSync(fromRoot(`sql/optional/${name}`), 'utf8');

test('it names every table of schema quota once, and where it goes', async () => {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  const client = await database.connect();
  const { rows } = await client.query(
    `select relname from pg_class where relnamespace = 'quota'::regnamespace and relkind = 'r' order by relname`,
  );
  const list = read('citus_tables.sql').match(/insert into spread [\s\S]*?;/)?.[0] ?? '';
  const named = [...list.matchAll(/\('(\w+)', (null|'\w+'), (\d+)\)/g)];
  expect(named.map(([, name]) => name).toSorted()).toEqual(rows.map((row) => row.relname));
  expect(named.map(([, , , place]) => Number(place))).toEqual(named.map((_, index) => index + 1));
  for (const [, name, key] of named) {
    if (key === 'null' || key === `'here'`) continue;
    expect(key, name).toBe(name === 'members' ? `'user_id'` : `'subject_id'`);
  }
});

test('it runs each of its parts, the views and what they ask both before and after the tables move', () => {
  const parts = [...read('citus.sql').matchAll(/^\\ir (\S+)$/gm)].map(([, name]) => name);
  expect(parts).toEqual([
    'citus_readers.sql',
    'citus_views.sql',
    'citus_tables.sql',
    'citus_readers.sql',
    'citus_views.sql',
    'citus_functions.sql',
    'citus_sets.sql',
    'citus_nodes.sql',
  ]);
});

test('without Citus it stops at once and says what is missing', async () => {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  const client = await database.connect();
  const [checks = ''] = read('citus.sql').split('-- The views leave the tables alone');
  await expect(client.query(checks.replaceAll(/^\\.*$/gm, ''))).rejects.toThrow(
    /^citus\.sql: the extension citus is not in database test_/,
  );
});

test('a function that takes another way is one that there is, with the same attributes', async () => {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  const client = await database.connect();
  const functions = `
    select p.oid::regprocedure::text as name, prosecdef, provolatile, proisstrict, proacl::text, prorettype::regtype::text,
      obj_description(p.oid) as comment
    from pg_proc as p where pronamespace = 'quota'::regnamespace order by 1`;
  const { rows: before } = await client.query(functions);
  await client.query(read('citus_functions.sql') + read('citus_sets.sql'));
  expect((await client.query(functions)).rows).toEqual(before);
  await client.query(`
    select apply_plans('{"features": {"chat": {"alerts": [50]}},
      "plans": {"free": {"default": true, "limits": {"chat": {"month": 10}}}}}');
    set role service_role;
    select consume_usage('chat', 10, 'ada'), consume_usage('chat', 6, 'eve')`);
  const { rows: alerts } = await client.query('select alert_id, subject from deliver_alerts()');
  expect(alerts.map(({ subject }) => subject)).toEqual(['ada', 'eve']);
  expect((await client.query('select from deliver_alerts()')).rowCount).toBe(0);
  const { rows } = await client.query('select acknowledge_alerts($1) as count', [
    alerts.map(({ alert_id }) => alert_id),
  ]);
  expect(rows[0].count).toBe('2');
  await client.query('reset role');
  const { rows: imported } = await client.query(
    `select action from quota.import_usage('[
       {"subject": "ada", "feature": "chat", "amount": 7, "period_start": "2026-01-20T00:00:00Z"},
       {"subject": "eve", "feature": "chat", "amount": 3, "period_start": "2026-01-20T00:00:00Z"},
       {"subject": "eve", "feature": "chat", "amount": 2, "period_start": "2026-01-21T00:00:00Z"}]')`,
  );
  expect(imported.map(({ action }) => action)).toEqual(['import', 'import', 'import']);
  await setClock(client, { offset: '40 days' });
  // Five lines, and the alerts that arrived.
  expect((await client.query(`select quota.tidy('1 day')`)).rows).toEqual([{ tidy: '7' }]);
  const { rows: history } = await client.query(
    `select subject, used from usage_history order by subject, period_start`,
  );
  expect(history).toEqual([
    { subject: 'ada', used: '7' },
    { subject: 'ada', used: '10' },
    { subject: 'eve', used: '5' },
    { subject: 'eve', used: '6' },
  ]);
  expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
  await expect(client.query(`select consume_usage('nothing', 1, 'ada')`)).rejects.toMatchObject({
    code: 'QFEAT',
  });
});

test('a suite that is not played there is one that there is', () => {
  const names = findSuites().map(({ name }) => name.replace('.test.sql', ''));
  expect(names).toEqual(expect.arrayContaining(Object.values(NOT_PLAYED).flat()));
});

test('a race that is not played there is one that there is', () => {
  const folder = fromRoot('tests/concurrency');
  const names = readdirSync(folder);
  const texts = names.map((name) => readFileSync(`${folder}/${name}`, 'utf8')).join();
  for (const name of Object.values(NOT_RACED).flat()) {
    expect(names.includes(`${name}.test.ts`) || texts.includes(name), name).toBe(true);
  }
});

test('npm run test:citus says that it has no cluster', async () => {
  const { code, output } = await run('node', ['--import', 'tsx', fromRoot('tests/citus/run.ts')], {
    env: cleanEnvironment({ CITUS_DATABASE_URL: '' }),
  });
  expect(output).toContain('CITUS_DATABASE_URL is not set');
  expect(code).toBe(1);
});
