// The views for an installation that is spread over nodes are the views: installed here on plain Postgres,
// where what they say can be compared. What only Citus can show: npm run test:citus.
import { readFileSync } from 'node:fs';
import { Parser, type Result } from 'tap-parser';
import { expect, onTestFinished, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { hurryClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { findSuites, runSuite } from '../support/suites.ts';

const EDITION = ['citus_readers.sql', 'citus_views.sql']
  .map((name) => readFileSync(fromRoot(`sql/optional/${name}`), 'utf8'))
  .join('\n');

/** Columns with types, collations and comments, the view's own comment, its options and who may read it. */
const SHAPE = `
  select c.relname, c.reloptions, c.relacl::text, obj_description(c.oid), a.attname,
    format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, col_description(c.oid, a.attnum)
  from pg_class as c
  join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
  where c.relkind = 'v' and c.relnamespace = 'public'::regnamespace
  order by c.relname, a.attnum`;

async function database(): Promise<TestDatabase> {
  const created = await createDatabase();
  onTestFinished(() => created.drop());
  return created;
}

test('both editions of the views have the same columns, types, comments and rights', async () => {
  const client = await (await database()).connect();
  const { rows: before } = await client.query(SHAPE);
  expect(before.length).toBeGreaterThan(80);
  await client.query(EDITION);
  const { rows: after } = await client.query(SHAPE);
  expect(after).toEqual(before);
});

test('what runs as the owner asks who reads, and is withheld from visitors', async () => {
  const one = await database();
  const client = await one.connect();
  const owned = `
    select p.proname, p.proacl::text as rights from pg_proc as p
    where p.pronamespace = 'quota'::regnamespace and p.prosecdef order by p.proname`;
  const { rows: before } = await client.query(owned);
  await client.query(EDITION);
  const { rows: after } = await client.query(owned);
  const added = after.filter(({ proname }) => !before.some((row) => row.proname === proname));
  expect(added.map(({ proname }) => proname)).toEqual([
    'alerts_shown',
    'events_shown',
    'features_shown',
    'hidden_features',
    'history_shown',
    'overview_shown',
    'subjects_shown',
  ]);
  for (const { proname, rights } of added) expect(rights, proname).not.toMatch(/[{,](anon)?=/);

  await client.query(`select apply_plans('{
      "features": {"chat": {"alerts": [10]}},
      "plans": {"free": {"default": true, "limits": {"chat": {"month": 10, "hour": 10}}}}}');
    set role service_role;
    select consume_usage('chat', 5, 'ada'), consume_usage('chat', 5, 'eve');
    reset role;
    grant execute on function quota.overview_shown to authenticated;
    set role authenticated;
    set request.jwt.claims = '{"sub": "eve"}'`);
  const shown = async (subject: string) => {
    const { rows } = await client.query(
      `select (select count(*)::int from quota.history_shown($1)) as history,
        (select count(*)::int from quota.events_shown($1)) as events,
        (select count(*)::int from quota.alerts_shown($1)) as alerts,
        (select count(*)::int from quota.overview_shown()) as overview,
        array(select quota.subjects_shown()) as subjects`,
      [subject],
    );
    return rows[0];
  };
  const none = { overview: 0, subjects: ['eve'] };
  expect(await shown('eve')).toEqual({ ...none, history: 1, events: 1, alerts: 2 });
  expect(await shown('ada')).toEqual({ ...none, history: 0, events: 0, alerts: 0 });
});

/** What a view over functions is not: one that Postgres can write through, or plan around. */
const OTHERWISE = ['and deletes none', 'a query for who is near leaves the others out'];

const VIEWS = findSuites().filter(
  ({ name }) => name.startsWith('views/') || name === 'rules/flat_reads.test.sql',
);

test('there are suites of the views', () => expect(VIEWS.length).toBeGreaterThan(6));

test.each(VIEWS)('$name passes with the views of many nodes', async (suite) => {
  const one = await database();
  const client = await one.connect();
  await hurryClock(client);
  await client.query(EDITION);
  const failed: string[] = [];
  const parser = new Parser();
  parser.on('assert', ({ ok, id, name }: Result) => {
    if (!ok && !OTHERWISE.includes(name)) failed.push(`${id} ${name}`);
  });
  parser.on('bailout', (reason: string) => failed.push(reason));
  parser.end(await runSuite(suite, one));
  expect(failed).toEqual([]);
});
