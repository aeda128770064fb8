/**
 * A release of tomorrow, rehearsed today: a copy of this project in which the text at hand is frozen and the
 * next release has a change of every kind, and a database in use, with data in every state.
 */
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { cleanEnvironment, run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { setClock } from '../support/clock.ts';
import { applyPlans, SAMPLE_PLANS } from '../support/plans.ts';
import { asUser } from '../support/session.ts';

const FILES = [
  'package.json',
  'package-lock.json',
  'CHANGELOG.md',
  'scripts',
  'sql',
  'supabase',
  'cli',
  'schema',
];
const TABLE = `
-- Why this exists: a rehearsal.
create table quota.rehearsed (
  id text not null,
  constraint rehearsed_pkey primary key (id)
);

comment on table quota.rehearsed is 'A table that a release brings.';

insert into quota.rehearsed (id) values ('first');

alter table quota.rehearsed enable row level security;

create policy select_service on quota.rehearsed for select to service_role using (true);

revoke all on quota.rehearsed from public, anon, authenticated, service_role;
grant select on quota.rehearsed to service_role;
`;
const STATE = `
alter table quota.exceptions add column note text;

update quota.exceptions set note = 'from before' where amount > 0;
`;

export interface Rehearsal {
  folder: string;
  /** The release at hand, and the next one. */
  from: string;
  to: string;
  migrations: string;
  /** The file that brings the next one. */
  file: string;
  script(name: string, ...args: string[]): ReturnType<typeof run>;
  remove(): void;
}

export async function rehearse(): Promise<Rehearsal> {
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-rehearsal-'));
  for (const name of FILES) cpSync(fromRoot(name), join(folder, name), { recursive: true });
  symlinkSync(realpathSync(fromRoot('node_modules')), join(folder, 'node_modules'));
  const script = (name: string, ...args: string[]) =>
    run(process.execPath, ['--import', 'tsx', join('scripts', name), ...args], {
      cwd: folder,
      env: cleanEnvironment(),
    });
  const { version: from } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const [major, minor] = from.split('.').map(Number);
  const to = `${major}.${minor + 1}.0`;
  const mustDo = async (...args: [string, ...string[]]) => {
    const { code, output } = await script(...args);
    if (code !== 0) throw new Error(output);
  };
  await mustDo('freeze.ts');
  changeEverything(folder, to);
  await mustDo('freeze.ts', to);
  const migrations = join(folder, 'supabase/migrations');
  const file = readdirSync(migrations)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .at(-1) as string;
  return {
    folder,
    from,
    to,
    migrations,
    file,
    script,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function changeEverything(folder: string, version: string): void {
  const files = readdirSync(join(folder, 'sql'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.sql') && !/^(release|names)\.sql|optional/.test(name))
    .map((name) => join(folder, 'sql', name));
  const edit = (pattern: RegExp, replacement: string) => {
    const found = files.filter((name) => {
      const text = readFileSync(name, 'utf8');
      const edited = text.replace(pattern, replacement);
      writeFileSync(name, edited);
      return edited !== text;
    });
    if (!found.length) throw new Error(`nothing in sql/ matches ${pattern}`);
  };
  // A column, which the state part adds and fills.
  edit(/(create table quota\.exceptions \([\s\S]*?)(\n {2}constraint )/, '$1\n  note text,$2');
  edit(
    /^comment on table quota\.exceptions is/m,
    `comment on column quota.exceptions.note is 'Why.';\n$&`,
  );
  writeFileSync(join(folder, `sql/upgrades/${version}.sql`), STATE);
  // A function's body.
  edit(/(create function public\.check_usage\([\s\S]*?\nbegin\n)/, '$1  -- rehearsed\n');
  // A function that takes one parameter more.
  edit(/(create function public\.release_usage\([^)]*?)\n\)/, '$1,\n  note text default null\n)');
  // A view with a column more, and one whose columns changed places.
  edit(/(create view public\.plan_catalog[\s\S]*?)(\nfrom )/, '$1,\n  upper(p.plan_id) as loud$2');
  edit(
    /(create view public\.usage_alerts[\s\S]*?)(\n {2}a\.used,)(\n {2}a\.amount as "limit",)/,
    '$1$3$2',
  );
  // A table.
  writeFileSync(join(folder, 'sql/rehearsed.sql'), TABLE);
  edit(/^\\ir .*release\.sql$/m, '\\ir rehearsed.sql\n$&');
  // A function that is gone.
  edit(/create function public\.remove_member\([\s\S]*?^\$\$;$/m, '');
  edit(/^comment on function public\.remove_member[\s\S]*?';$/m, '');
  edit(/\s*public\.remove_member,/g, '');
}

/** Months gone by, and everything that can be open, ended, drawn, held or forgotten about. */
export async function fill(client: pg.ClientBase): Promise<void> {
  const call = async (sql: string) => (await client.query(`select a.* from ${sql} as a`)).rows[0];
  const clock = (
    await client.query(`select pg_get_functiondef('quota.clock()'::regprocedure) as text`)
  ).rows[0].text;
  // The month is what limits, whether a minute passes or not.
  const plans = structuredClone(SAMPLE_PLANS);
  plans.plans.free.limits.ai_generation.minute = 1000;
  await applyPlans(client, plans);

  await setClock(client, { offset: '-70 days' });
  await call(`consume_usage('ai_generation', 3, 'ada')`);
  await call(`consume_usage('export', 5, 'bob')`);
  await call(`grant_usage('export', 9, 'bob', quota.clock() + '1 day')`);
  await call(`void_grant(grant_usage('export', 7, 'ada'))`);
  await call(`reserve_usage('ai_generation', 4, 'ada', '1 minute')`); // expires, and nobody settles it
  await setClock(client, { offset: '-40 days' });
  await call(`consume_usage('ai_generation', 2, 'ada', 'key of last month')`);
  await call(`set_plan('dan', 'pro', quota.clock() - interval '9 days', 'Asia/Tokyo')`);
  await call(`consume_usage('ai_generation', 20, 'dan')`);
  await client.query(clock);
  await client.query('drop schema test_clock cascade');

  const { event_id } = await call(`consume_usage('ai_generation', 6, 'ada', 'key of today')`);
  await call(`refund_usage('${event_id}', 2, 'too long')`);
  await call(`reserve_usage('ai_generation', 2, 'ada', '7 days', 'open hold')`);
  const { reservation_id: used } = await call(`reserve_usage('export', 2, 'ada')`);
  await call(`commit_usage('${used}', 1)`);
  const { reservation_id: left } = await call(`reserve_usage('export', 1, 'ada')`);
  await call(`release_usage('${left}')`);
  await call(`grant_usage('export', 2, 'bob')`);
  await call(`consume_usage('export', 7, 'bob')`); // to 80 and 100 per cent, and spends the grant
  await call(`grant_usage('export', 3, 'bob')`);
  await call(`set_limit('cyd', 'export', 'month', 9)`);
  await call(`consume_usage('export', 8, 'cyd')`);
  await call(`deliver_alerts(1)`);

  await client.query(`
    create schema app;
    create table app.files (id bigint generated always as identity, user_id text);
    insert into app.files (user_id) select 'ada' from generate_series(1, 3);
    select quota.limit_table('app.files', 'kb_file', 'user_id');
    insert into app.files (user_id) values ('ada'), ('bob');
    create table app.customers (id text primary key, plan text);
    select quota.follow_plan('app.customers', 'id', 'plan');
    insert into app.customers values ('eve', 'pro');
    create table app.teams (team text, member text);
    insert into app.teams values ('acme', 'ada');
    create or replace function quota.acts_for(p_user_id text, p_subject_id text) returns boolean
      language sql stable security definer set search_path = pg_catalog, pg_temp
      as $$ select exists (select from app.teams where team = p_subject_id and member = p_user_id) $$;
    create or replace function quota.subjects_of(p_user_id text) returns setof text
      language sql stable rows 3 security definer set search_path = pg_catalog, pg_temp
      as $$ select p_user_id union select team from app.teams where member = p_user_id $$`);
  await call(`add_member('acme', 'ann')`); // which nobody asks any more
  await asUser(client, 'ada', (user) => user.query(`select consume_usage('export', 2, 'acme')`));
}

/** Every row of every table, but for what the rehearsed release adds. */
export async function rowsOf(client: pg.ClientBase): Promise<Record<string, unknown[]>> {
  const { rows: tables } = await client.query<{ name: string }>(
    `select oid::regclass::text as name from pg_class
     where relnamespace = 'quota'::regnamespace and relkind = 'r' and relname <> 'rehearsed' order by 1`,
  );
  const found: Record<string, unknown[]> = {};
  for (const { name } of tables) {
    const { rows } = await client.query(
      `select to_jsonb(t) - 'note' as row from ${name} as t order by (to_jsonb(t) - 'note')::text`,
    );
    found[name] = rows.map(({ row }) => row);
  }
  return found;
}
