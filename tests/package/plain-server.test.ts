/** A server that nobody prepared: no roles, no login for PostgREST. Its roles are its own. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withTls } from '../../cli/database.ts';
import { withClient } from '../../scripts/local/client.ts';
import { type Postgres, startPostgres } from '../../scripts/local/postgres.ts';
import { throwawayFolder } from '../../scripts/local/throwaway.ts';
import { guardFolder } from '../../scripts/local/warden.ts';
import { applyPlans, SAMPLE_PLANS } from '../support/plans.ts';
import { createProject, pgquota } from './cli.ts';

let home: string;
let release: () => void;
let postgres: Postgres;
let project: ReturnType<typeof createProject>;

beforeAll(async () => {
  home = throwawayFolder('pgquota-plain-');
  release = guardFolder(home);
  postgres = await startPostgres({ dataDirectory: join(home, 'data'), durable: false });
  project = createProject({ 'supabase/config.toml': '' });
});
afterAll(async () => {
  project.remove();
  await postgres.remove();
  rmSync(home, { recursive: true, force: true });
  release();
});

const command = (...args: string[]) =>
  pgquota(project.folder, [...args, '--database-url', postgres.url()]);

describe('a server without the roles', () => {
  test('doctor names them and the file that makes them', async () => {
    const { code, output } = await command('doctor');
    expect(output).toMatch(/✗ Roles are missing: anon, authenticated, service_role\./);
    expect(output).toContain('sql/roles.sql');
    expect(code).toBe(1);
  });

  test('init for Supabase refuses, since a Supabase project has them', async () => {
    const { code, output } = await command('init');
    expect(output).toMatch(/Roles are missing/);
    expect(readdirSync(project.folder)).toEqual(['supabase']);
    expect(code).toBe(1);
  });

  test('init for psql writes a file that makes them, if this user may', async () => {
    await withClient(postgres.url(), async (admin) => {
      await admin.query(`create role owner login password 'secret'`);
      await admin.query('create database app owner owner');
    });
    const url = new URL(postgres.url('app'));
    Object.assign(url, { username: 'owner', password: 'secret' });
    const as = ['init', '--psql', '--database-url', url.href];
    const refused = await pgquota(project.folder, as);
    expect(refused.output).toMatch(/owner may not create roles: have a superuser run create role/);
    await withClient(postgres.url(), (admin) => admin.query('alter role owner createrole'));
    expect((await pgquota(project.folder, as)).code).toBe(0);

    await withClient(url.href, async (client) => {
      for (const name of readdirSync(join(project.folder, 'migrations')).sort()) {
        await client.query(readFileSync(join(project.folder, 'migrations', name), 'utf8'));
      }
      await applyPlans(client);
    });
    const { code, output } = await pgquota(project.folder, ['doctor', '--database-url', url.href]);
    expect(output).toMatch(/^· There is no role authenticator/m);
    expect(code).toBe(0);
  });

  test('a login of PostgREST that cannot become them is found, and the advice heals it', async () => {
    const url = postgres.url('app');
    const doctor = () => pgquota(project.folder, ['doctor', '--database-url', url]);
    await withClient(url, (client) => client.query('create role authenticator noinherit'));
    const sick = await doctor();
    expect(sick.output).toMatch(/authenticator cannot become anon, authenticated, service_role/);
    await withClient(url, (client) =>
      client.query('grant anon, authenticated, service_role to authenticator'),
    );
    expect((await doctor()).output).toMatch(/Nothing is wrong\./);
  });

  test('users of the API who became members of the owner are found', async () => {
    const url = postgres.url('app');
    await withClient(url, (client) =>
      client.query(
        'create role boss; grant boss to owner, authenticated; alter schema quota owner to boss',
      ),
    );
    const { output } = await pgquota(project.folder, ['doctor', '--database-url', url]);
    await withClient(url, (client) =>
      client.query('alter schema quota owner to owner; drop role boss'),
    );
    expect(output).toMatch(/authenticated: it is a member of boss/);
    expect(output).toMatch(/quota\.consume_usage.*it belongs to another role than boss/);
  });
});

describe('a transaction that was left open', () => {
  let holder: pg.Client;
  beforeAll(async () => {
    holder = new pg.Client({ connectionString: postgres.url('app'), application_name: 'worker' });
    await holder.connect();
    await holder.query(`begin; select public.consume_usage('export', 1, 'ada')`);
  });
  afterAll(() => holder.end());

  test('is named with its session once it holds a counter for ten seconds', async () => {
    const { rows } = await holder.query('select pg_backend_pid() as pid');
    const doctor = () => pgquota(project.folder, ['doctor', '--database-url', postgres.url('app')]);
    await expect
      .poll(async () => (await doctor()).output, { timeout: 25_000, interval: 500 })
      .toContain(`session ${rows[0].pid}, idle in transaction, user postgres, worker`);
    await holder.query('commit');
    expect((await doctor()).output).toContain('Nothing is wrong.');
  });
});

describe('encryption', () => {
  test.each([
    ['postgres://u@127.0.0.1/a', ['disable']],
    ['postgres://u@db.example.com/a', ['require', 'disable']],
    ['postgres://u@db.example.com/a?sslmode=require', ['require']],
    ['postgres://u@localhost/a?sslmode=prefer', ['require', 'disable']],
    ['postgres://u@db.example.com/a?sslmode=verify-full', ['verify-full']],
  ])('%s is tried with sslmode %j', (url, modes) => {
    expect(withTls(url).map((one) => new URL(one).searchParams.get('sslmode'))).toEqual(modes);
  });

  test('a server that has none is reached all the same when it was only preferred', async () => {
    const url = `${postgres.url('app')}?sslmode=prefer`;
    const { code } = await pgquota(project.folder, ['doctor', '--database-url', url]);
    expect(code).toBe(0);
  });

  test('and is refused in words when it was required', async () => {
    const url = `${postgres.url('app')}?sslmode=require`;
    const { code, output } = await pgquota(project.folder, ['doctor', '--database-url', url]);
    expect(output).toMatch(
      /127\.0\.0\.1:\d+\/app speaks no TLS, and sslmode=require asks for it\.\n .*sslmode=disable/,
    );
    expect(code).toBe(1);
  });
});

describe('a url that is written wrongly', () => {
  test.each([
    'postgres://u:p@ss#zebra@db.example.com:5432/app',
    'postgres://u:p@ss/zebra@db.example.com:5432/app',
    'postgres://u:p@ss?zebra@db.example.com:5432/app',
    'postgres://u:12/zebra@db.example.com:5432/app',
    'postgres://u:pa/zebra@db.example.com:5432/app',
    'postgres://u:p%sszebra@db.example.com:5432/app',
    'postgres://u:zebra#x@db.example.com:5432/app',
    'host=db.example.com password=zebra dbname=app',
  ])('%s: percent form is named, and no piece of the password', async (url) => {
    for (const args of [['doctor'], ['plans', 'plans.json']]) {
      writeFileSync(join(project.folder, 'plans.json'), JSON.stringify(SAMPLE_PLANS));
      const { code, output } = await pgquota(project.folder, args, { DATABASE_URL: url });
      expect(output).toMatch(/percent form: % is %25, @ is %40, # is %23/);
      expect(output).not.toMatch(/zebra|p@ss/);
      expect(code).toBe(1);
    }
  });

  test('in percent form the same password signs in', async () => {
    await withClient(postgres.url(), (admin) =>
      admin.query(`create role odd login superuser password 'p@ss#w/o?r:d%'`),
    );
    const url = new URL(postgres.url('app'));
    url.username = 'odd';
    url.password = encodeURIComponent('p@ss#w/o?r:d%');
    const { output } = await pgquota(project.folder, ['doctor', '--database-url', url.href]);
    expect(output).toContain('Nothing is wrong.');
  });

  test('a host that does not exist is named alone', async () => {
    const { output } = await pgquota(project.folder, ['doctor'], {
      DATABASE_URL: 'postgres://u:hunter2@nowhere.invalid/app',
    });
    expect(output).toMatch(/There is no host nowhere\.invalid|Cannot connect to nowhere\.invalid/);
    expect(output).not.toContain('hunter2');
  });
});
