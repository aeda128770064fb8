// What npm run build makes of two releases: a toy one, with a change of every kind that it must know.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { brokenReleases } from '../../scripts/releases.ts';
import { compileUpgrade, type Step } from '../../scripts/upgrade.ts';
import { describe, differences } from '../../scripts/verify/describe.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const databases: TestDatabase[] = [];

/** Databases of the test's server, as the build has them of a throwaway one. */
const server = {
  async create() {
    const database = await createDatabase({ from: 'blank' });
    databases.push(database);
    return database.url;
  },
};

afterAll(() => Promise.all(databases.map((database) => database.drop())));

const FUNCTION = (head: string, body: string, kind = 'stable') =>
  `create function ${head} language plpgsql ${kind} set search_path = pg_catalog, pg_temp as $$
begin
  ${body}
end
$$;\n`;

const version = (text: string) =>
  FUNCTION('quota.version() returns text', `return '${text}';`, 'immutable');

const TABLES = `
create schema quota;
grant usage on schema quota to authenticated;
create table quota.meters (id text primary key, used bigint not null);
alter table quota.meters enable row level security;
grant select on quota.meters to authenticated;
`;

const ACTS_FOR = FUNCTION('quota.acts_for(p text) returns boolean', 'return false;');

const BOOK_1 = `${TABLES}${version('1.0.0')}${ACTS_FOR}
create index meters_by_use on quota.meters (used);
create type public.answer as (allowed boolean);
comment on type public.answer is 'An answer.';
create type public.line as (id text, used bigint);
${FUNCTION('quota.me() returns text', "return 'ann';")}
revoke all on function quota.me() from public;
grant execute on function quota.me() to authenticated;
create policy own on quota.meters for select to authenticated using (id = (select quota.me()));
${FUNCTION('public.lines() returns setof public.line', 'return query select * from quota.meters;')}
grant execute on function public.lines() to authenticated;
${FUNCTION('public.gone() returns text', "return 'x';")}
${FUNCTION('public.same(a text) returns text', 'return a;')}
create view public.mine with (security_invoker = true) as select id from quota.meters where id = quota.me();
comment on column public.mine.id is 'Who.';
grant select on public.mine to authenticated;
${FUNCTION('quota.refuse() returns trigger', 'raise exception $x$read only$x$;', 'volatile')}
create trigger refuse instead of update on public.mine for each row execute function quota.refuse();
create view public.wide as select id, used from quota.meters;
`;

const BOOK_2 = `${TABLES.replace('used bigint not null', 'used bigint not null, note text')}${version('1.1.0')}${ACTS_FOR}
comment on column quota.meters.note is 'Why.';
alter table quota.meters alter column note set statistics 0;
create index meters_by_use on quota.meters (used, id);
create table quota.extra (id text primary key);
alter table quota.extra enable row level security;
insert into quota.extra values ('first');
create type public.answer as (allowed boolean, reason text);
comment on type public.answer is 'An answer; why.';
create type public.line as (id text, amount bigint);
-- Now it may say who it is.
${FUNCTION('quota.me(p_name text default null) returns text', "return coalesce(p_name, 'ann');")}
revoke all on function quota.me(text) from public;
grant execute on function quota.me(text) to authenticated;
create policy own on quota.meters for select to authenticated using (id = (select quota.me()));
create policy all_of_it on quota.meters for select to service_role using (true);
${FUNCTION('public.lines() returns setof public.line', 'return query select id, used from quota.meters;')}
grant execute on function public.lines() to authenticated;
${FUNCTION('public.same(b text) returns text', 'return b;')}
create view public.mine with (security_invoker = true) as select id from quota.meters where id = quota.me();
comment on column public.mine.id is 'Who it is.';
grant select on public.mine to authenticated;
${FUNCTION('quota.refuse() returns trigger', 'raise exception $x$read only$x$;', 'volatile')}
create trigger refuse instead of update on public.mine for each row execute function quota.refuse();
create view public.wide as select id, used, note from quota.meters;
create view public.fresh as select 1 as one;
notify pgrst, 'reload schema';
`;

const STEP: Step = {
  from: '1.0.0',
  to: '1.1.0',
  frozen: [BOOK_1],
  state: "alter table quota.meters add column note text;\nupdate quota.meters set note = 'old';",
  book: BOOK_2,
};

let text: string;
beforeAll(async () => {
  text = await compileUpgrade(server, STEP);
});

test('an upgrade gives what a fresh installation gives, and keeps the rows', async () => {
  const [upgraded, fresh] = [await server.create(), await server.create()];
  await withClient(upgraded, async (client) => {
    await client.query(BOOK_1);
    await client.query("insert into quota.meters values ('ann', 3)");
    await client.query(text);
    const { rows } = await client.query('select * from quota.meters');
    expect(rows).toEqual([{ id: 'ann', used: '3', note: 'old' }]);
    expect((await client.query('select * from quota.extra')).rows).toEqual([{ id: 'first' }]);
  });
  await withClient(fresh, (client) => client.query(BOOK_2));
  expect(
    differences(await withClient(fresh, describe), await withClient(upgraded, describe)),
  ).toEqual([]);
});

test('what did not change is not said again, and a view that gained a column is not dropped', () => {
  expect(text).not.toMatch(/quota\.refuse\(\) returns|create schema|create table quota\.meters/);
  expect(text).toContain('alter type public.answer add attribute "reason" text;');
  expect(text).not.toMatch(/drop (view public\.wide|type public\.answer|table)/);
  expect(text).toContain('-- Now it may say who it is.\ncreate or replace function quota.me(');
});

test('it is refused, and nothing is changed, in pieces, twice, too early, in the way of an app, or by another role', async () => {
  const url = await server.create();
  await withClient(url, async (client) => {
    const run = (sql: string) =>
      client.query(sql).then(
        () => 'run',
        ({ code }) => code,
      );
    expect(await run(text)).toBe('55000');
    await client.query(BOOK_1);
    const before = await describe(client);
    const pieces = text.split(/(?<=^\$\$;)$/m);
    expect(await run(pieces[0] as string)).toBe('run');
    expect(await run(pieces[1] as string)).toBe('25P01');
    await client.query('create function public.fresh(a text) returns text language sql return a');
    expect(await run(text)).toBe('42710');
    await client.query('drop function public.fresh');
    await client.query('create view public.of_the_app as select * from public.mine');
    expect(await run(text)).toBe('2BP01');
    await client.query('drop view public.of_the_app');
    await client.query('alter schema quota owner to service_role');
    expect(await run(text)).toBe('42501');
    await client.query('alter schema quota owner to current_user');
    expect(differences(before, await describe(client))).toEqual([]);
    expect(await run(text)).toBe('run');
    const after = await describe(client);
    expect(await run(text)).toBe('55000');
    expect(differences(after, await describe(client))).toEqual([]);
  });
});

test.for<[string, Partial<Step>, RegExp]>([
  [
    'a column that no state part adds',
    { state: '' },
    /column "note" of relation "quota.meters" does not exist/,
  ],
  [
    'a column that sql/ has in another place',
    { book: BOOK_2.replace('used bigint not null, note text', 'note text, used bigint not null') },
    /column quota\.meters\.note differs/,
  ],
  [
    'a table that is gone from sql/ alone',
    { frozen: [`${BOOK_1}create table quota.left_over (id text);`] },
    /table quota\.left_over is too much/,
  ],
  [
    'a function that an app may have replaced',
    { book: BOOK_2.replace('return false;', 'return null;') },
    /function quota\.acts_for\(text\) differs/,
  ],
  [
    'a function that a default of a table calls',
    { frozen: [`${BOOK_1}alter table quota.meters alter used set default length(public.gone());`] },
    /default value for column used of table quota\.meters depends on what has to be dropped/,
  ],
  [
    'a statement of an unknown kind',
    { book: `${BOOK_2}set search_path = public;` },
    /no upgrade knows/,
  ],
])('%s stops the build, by its name', async ([, change, message]) => {
  await expect(compileUpgrade(server, { ...STEP, ...change })).rejects.toThrow(message);
});

test('the releases of this project are what they were when they were frozen', () => {
  expect(brokenReleases()).toEqual([]);
});
