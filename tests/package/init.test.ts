import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { addMigrations, nextVersion } from '../../cli/folder.ts';
import { shippedMigrations } from '../../cli/package.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';
import { createProject, pgquota, run } from './cli.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function project(files: Record<string, string> = {}): string {
  const { folder, remove } = createProject(files);
  cleanups.push(remove);
  return folder;
}

const contents = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(folder.length + 1), readFileSync(path, 'utf8')]),
  );

/** `_pgquota.sql`, and what later releases add. */
const SHIPPED = shippedMigrations().map(({ name }) => name.replace(/^\d+/, ''));

const SUPABASE = { 'supabase/config.toml': 'project_id = "app"\n' };
const OWN = 'supabase/migrations/20991231235958_own.sql';

describe('the first run', () => {
  test('writes the migration after the newest one, and a plan document', async () => {
    const folder = project({ ...SUPABASE, [OWN]: 'select 1;\n' });
    const { code, output } = await pgquota(folder, ['init']);
    expect(code).toBe(0);
    expect(Object.keys(contents(folder)).sort()).toEqual([
      'plans.json',
      'supabase/config.toml',
      OWN,
      ...SHIPPED.map((name, n) => `supabase/migrations/${20991231235959 + n}${name}`),
    ]);
    expect(output).toMatch(
      /Now run:\n {2}npx supabase db push --remote\n {2}npx pgquota plans plans\.json\nwith DATABASE_URL set/,
    );
  });

  test('gives the day of today where nothing is newer', async () => {
    const folder = project({ ...SUPABASE, 'supabase/migrations/20200101000000_own.sql': '' });
    await pgquota(folder, ['init']);
    const [, written] = readdirSync(join(folder, 'supabase/migrations')).sort();
    expect(written).toMatch(/^20\d{12}_pgquota\.sql$/);
    expect(written?.slice(0, 8)).toBe(new Date().toISOString().slice(0, 10).replaceAll('-', ''));
  });

  test('plans.json names its schema, and the plans command finds nothing wrong in it', async () => {
    const folder = project(SUPABASE);
    await pgquota(folder, ['init']);
    const plans = JSON.parse(readFileSync(join(folder, 'plans.json'), 'utf8'));
    expect(plans.$schema).toMatch(/plans\.schema\.json$/);
    const database = await createDatabase();
    const { code, output } = await pgquota(folder, ['plans', 'plans.json'], {
      DATABASE_URL: database.url,
    });
    await database.drop();
    expect(output).toContain('+ limit    free/ai_generation/month');
    expect(code).toBe(0);
  });

  test('leaves a plans.json that is there as it is', async () => {
    const folder = project({ ...SUPABASE, 'plans.json': '{"mine": true}' });
    const { output } = await pgquota(folder, ['init']);
    expect(readFileSync(join(folder, 'plans.json'), 'utf8')).toBe('{"mine": true}');
    expect(output).toContain('plans.json is there and was left as it is');
  });

  test.each([
    ['--dbmate', 'db/migrations', /npx dbmate up/],
    [
      '--psql',
      'migrations',
      /psql "\$DATABASE_URL" -1 -v ON_ERROR_STOP=1 -f migrations\/\d+_pgquota_roles\.sql -f/,
    ],
  ])('%s writes the roles before the rest, into %s', async (option, where, command) => {
    const folder = project();
    const { code, output } = await pgquota(folder, ['init', option]);
    const names = readdirSync(join(folder, where)).sort();
    expect(names.map((name) => name.replace(/^\d{14}/, ''))).toEqual([
      '_pgquota_roles.sql',
      ...SHIPPED,
    ]);
    expect(output).toMatch(command);
    expect(output).toContain('needs a user that may create roles');
    expect(code).toBe(0);
  });

  test.each(['--dbmate', '--psql', '--supabase'])('%s takes another folder', async (option) => {
    const folder = project();
    await pgquota(folder, ['init', option, 'server/sql']);
    expect(readdirSync(join(folder, 'server/sql'))).toContainEqual(
      expect.stringMatching(/^\d{14}_pgquota\.sql$/),
    );
  });

  test('every migration for dbmate has both of its markers', async () => {
    const folder = project();
    await pgquota(folder, ['init', '--dbmate']);
    const texts = Object.values(contents(join(folder, 'db/migrations')));
    expect(texts).toHaveLength(1 + SHIPPED.length);
    for (const text of texts) {
      expect(text.match(/^-- migrate:(up|down)$/gm)).toEqual(['-- migrate:up', '-- migrate:down']);
    }
  });

  test('the last statement of each migration tells PostgREST to reload', () => {
    for (const { name, text } of shippedMigrations()) {
      const [up = ''] = text.split('-- migrate:down');
      expect(up.trim().split('\n').at(-1), name).toBe(`notify pgrst, 'reload schema';`);
    }
  });
});

describe('the commands that it prints', () => {
  const commands = (output: string) =>
    output
      .split('Now run:\n')[1]
      ?.split('\n')
      .filter((line) => line.startsWith('  '))
      .map((line) => line.trim());
  const away = 'postgres://u:hunter2@127.0.0.1:1/app';

  test.each([
    ['--supabase', 'npx supabase db push --remote="$DATABASE_URL"'],
    ['--dbmate', 'npx dbmate --url "$DATABASE_URL?sslmode=disable" up'],
    ['--psql', expect.stringMatching(/^psql "\$DATABASE_URL" -1 .*_pgquota\w*\.sql$/)],
  ])('%s are for the database of DATABASE_URL', async (layout, command) => {
    const folder = project(SUPABASE);
    const { output } = await pgquota(folder, ['init', layout], { DATABASE_URL: away });
    expect(commands(output)).toEqual([command, 'npx pgquota plans plans.json']);
    expect(output).not.toContain('hunter2');
  });

  test('a url that says its TLS itself is left alone for dbmate', async () => {
    const { output } = await pgquota(project(), ['init', '--dbmate'], {
      DATABASE_URL: `${away}?sslmode=require`,
    });
    expect(commands(output)?.[0]).toBe('npx dbmate up');
  });

  test('of .env the shell is told first, whatever characters the url has', async () => {
    const url = `${away}?application_name=a&sslmode=require`;
    const folder = project({ ...SUPABASE, '.env': `OTHER=1\nDATABASE_URL=${url}\n` });
    const { output } = await pgquota(folder, ['init', '--psql']);
    const [first = '', ...others] = commands(output) ?? [];
    expect(others).toHaveLength(2);
    const { output: shell } = await run('sh', ['-c', `${first}; printf %s "$DATABASE_URL"`], {
      cwd: folder,
    });
    expect(shell).toBe(url);
  });

  test('--workdir: everything is written and read there, and the commands begin with it', async () => {
    const folder = project({
      'apps/api/supabase/config.toml': '',
      'apps/api/.env': `DATABASE_URL=${away}\n`,
      '.env': 'DATABASE_URL=postgres://wrong.invalid/app\n',
    });
    const { code, output } = await pgquota(folder, ['init', '--workdir', 'apps/api']);
    expect(Object.keys(contents(folder)).filter((name) => !name.startsWith('apps/api/'))).toEqual([
      '.env',
    ]);
    expect(existsSync(join(folder, 'apps/api/plans.json'))).toBe(true);
    expect(output).toContain('Nothing answers at 127.0.0.1:1/app');
    expect(commands(output)?.[0]).toBe('cd apps/api');
    expect(code).toBe(0);
  });

  test('a workdir that is not there is told', async () => {
    const { code, output } = await pgquota(project(), ['init', '--workdir', 'nowhere']);
    expect(output).toContain('there is no folder nowhere');
    expect(code).toBe(2);
  });
});

describe('another run', () => {
  test('writes nothing', async () => {
    const folder = project(SUPABASE);
    await pgquota(folder, ['init']);
    const before = contents(folder);
    const { code, output } = await pgquota(folder, ['init']);
    expect(contents(folder)).toEqual(before);
    expect(output).toContain('are all in supabase/migrations');
    expect(code).toBe(0);
  });

  test('after an update adds only what is new, and keeps what was edited', () => {
    const folder = project();
    const first = { name: '20270101000000_pgquota.sql', text: '-- migrate:up\nselect 1;\n' };
    const second = {
      name: '20270202000000_pgquota_grants.sql',
      text: '-- migrate:up\nselect 2;\n',
    };
    addMigrations(folder, [first], new Date('2027-03-01T10:00:00Z'));
    const written = join(folder, '20270301100000_pgquota.sql');
    const edited = `${readFileSync(written, 'utf8')}-- ours\n`;
    writeFileSync(written, edited);
    writeFileSync(join(folder, '20270401000000_own.sql'), 'select 3;\n');

    const report = addMigrations(folder, [first, second], new Date('2027-03-02T10:00:00Z'));
    expect(report.written).toEqual(['20270401000001_pgquota_grants.sql']);
    expect(report.notes).toEqual(['20270301100000_pgquota.sql was edited; it was left as it is']);
    expect(readFileSync(written, 'utf8')).toBe(edited);
  });

  test.each([
    ['renamed', (text: string) => text, '20270301100000_limits.sql'],
    [
      'copied by hand, without the first line',
      (text: string) => text.replace(/^.*\n/, ''),
      '20261125000000_pgquota.sql',
    ],
  ])('knows a migration that was %s', async (_, change, name) => {
    const folder = project(SUPABASE);
    await pgquota(folder, ['init']);
    const migrations = join(folder, 'supabase/migrations');
    const [written = '', ...later] = readdirSync(migrations).sort();
    const text = readFileSync(join(migrations, written), 'utf8');
    const again = project({ ...SUPABASE, [`supabase/migrations/${name}`]: change(text) });
    const { output } = await pgquota(again, ['init']);
    expect(readdirSync(join(again, 'supabase/migrations'))).toContain(name);
    expect(readdirSync(join(again, 'supabase/migrations'))).toHaveLength(1 + later.length);
    expect(output).not.toContain('edited');
  });

  test('does not take other line ends for an edit', () => {
    const folder = project();
    const migration = { name: '20270101000000_pgquota.sql', text: 'select 1;\nselect 2;\n' };
    const [name = ''] = addMigrations(folder, [migration]).written;
    const text = readFileSync(join(folder, name), 'utf8');
    writeFileSync(join(folder, name), text.replaceAll('\n', '\r\n'));
    expect(addMigrations(folder, [migration])).toEqual({ written: [], files: [name], notes: [] });
  });
});

describe('the next version', () => {
  const now = new Date('2027-03-01T10:00:00Z');
  test.each([
    [[], '20270301100000'],
    [['20260101000000_a.sql', 'README.md'], '20270301100000'],
    [['20991231235959_a.sql'], '20991231235960'],
    [['20270301100000_a.sql'], '20270301100001'],
    [['0001_a.sql', '0009_b.sql'], '0010'],
    [['20270201_a.sql'], '20270202'],
  ])('after %j is %s', (names, expected) => {
    expect(nextVersion(names, now)).toBe(expected);
  });
});

describe('an error', () => {
  test('no project: says where to run it, and writes nothing', async () => {
    const folder = project({ 'package.json': '{}' });
    const { code, output } = await pgquota(folder, ['init']);
    expect(output).toMatch(/No Supabase project here/);
    expect(output).toMatch(/--dbmate, or --psql/);
    expect(Object.keys(contents(folder))).toEqual(['package.json']);
    expect(code).toBe(1);
  });

  test('a dbmate project is recognised in the advice', async () => {
    const folder = project({ 'db/migrations/20270101000000_own.sql': '' });
    const { output } = await pgquota(folder, ['init']);
    expect(output).toContain('npx pgquota init --dbmate');
  });

  test('a database whose names are taken is refused before anything is written', async () => {
    const database = await createDatabase({ from: 'empty' });
    const client = await database.connect();
    await client.query('create table public.usage_events (id bigint)');
    const folder = project(SUPABASE);
    const { code, output } = await pgquota(folder, ['init', '--database-url', database.url]);
    await database.drop();
    expect(output).toMatch(/Schema public already has table usage_events/);
    expect(existsSync(join(folder, 'supabase/migrations'))).toBe(false);
    expect(code).toBe(1);
  });

  test.each([
    ['create schema quota;', 'schema quota'],
    ['CREATE SCHEMA IF NOT EXISTS "quota" ;', 'schema quota'],
    [
      'create or replace function public.consume_usage(user_id uuid)\nreturns void language sql as $$$$;',
      'function consume_usage',
    ],
    ['create table usage_events (id bigint);', 'table usage_events'],
  ])(
    'a migration of the project that takes a name is told, without a database: %s',
    async (sql, what) => {
      const folder = project({ ...SUPABASE, [OWN]: sql });
      const { code, output } = await pgquota(folder, ['init']);
      expect(output).toContain(`${OWN} creates ${what}, a name that pgquota needs`);
      expect(readdirSync(join(folder, 'supabase/migrations'))).toHaveLength(1);
      expect(code).toBe(1);
    },
  );

  test('but not one that it dropped or renamed since, or only speaks of', async () => {
    const folder = project({
      ...SUPABASE,
      'supabase/migrations/20260101000000_own.sql':
        'create schema quota; create function public.consume_usage(a uuid) returns void as $$$$ language sql;\n' +
        'create function quota.check_usage() returns void as $$$$ language sql;\n' +
        '-- create table usage_events\ncreate table app.usage_events (id bigint);',
      [OWN]:
        'alter schema quota rename to budgets; drop function if exists public.consume_usage(uuid);',
    });
    expect((await pgquota(folder, ['init'])).code).toBe(0);
  });

  test('a foreign schema quota is refused, by the database that .env names, too', async () => {
    const database = await createDatabase({ from: 'empty' });
    const client = await database.connect();
    await client.query('create schema quota');
    const folder = project({ ...SUPABASE, '.env': `DATABASE_URL=${database.url}\n` });
    for (const args of [['init'], ['init', '--database-url', database.url]]) {
      const { code, output } = await pgquota(folder, args);
      expect(output).toMatch(/has a schema quota that is not of pgquota: rename it/);
      expect(existsSync(join(folder, 'supabase/migrations'))).toBe(false);
      expect(code).toBe(1);
    }
    await database.drop();
  });

  test('a database of .env that does not answer is a note', async () => {
    const folder = project({
      ...SUPABASE,
      '.env': 'DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/app\n',
    });
    const { code, output } = await pgquota(folder, ['init']);
    expect(output).toMatch(
      /note: the database of DATABASE_URL was not looked at\. Nothing answers/,
    );
    expect(output).not.toContain('hunter2');
    expect(code).toBe(0);
  });

  test('a user without the rights is told which, and by which statement they come', async () => {
    const database = await createDatabase({ from: 'empty' });
    const client = await database.connect();
    const name = `poor_${database.name}`;
    await client.query(`create role ${name} login password 'secret'`);
    const url = new URL(database.url);
    Object.assign(url, { username: name, password: 'secret' });
    const folder = project(SUPABASE);
    const { code, output } = await pgquota(folder, ['init', '--database-url', url.href]);
    await client.query(`drop role ${name}`);
    await database.drop();
    expect(output).toContain(`grant create on database "${database.name}" to "${name}";`);
    expect(output).toContain(`grant create on schema public to "${name}";`);
    expect(code).toBe(1);
  });

  test.each([
    [['frobnicate'], /there is no command frobnicate/],
    [['init', '--dbmate', '--psql'], /--dbmate and --psql exclude each other/],
    [['init', '--what'], /there is no option --what$/m],
    [['plans', 'plans.json', '--dryrun'], /there is no option --dryrun; did you mean --dry-run\?/],
    [
      ['plans', '--dry_run', 'plans.json'],
      /there is no option --dry_run; did you mean --dry-run\?/,
    ],
    [['init', '--database-ur=x'], /did you mean --database-url\?/],
    [['init', '-x'], /there is no option -x$/m],
    [['plan'], /there is no command plan; did you mean plans\?/],
    [['toString'], /there is no command toString$/m],
    [['init', '--dry-run'], /init has no option --dry-run/],
    [['doctor', '--psql'], /doctor has no option --psql/],
    [['init', 'a', 'b'], /init takes one folder, not 2/],
    [['plans'], /plans needs a file/],
  ])('%j is refused with exit code 2', async (args, message) => {
    const { code, output } = await pgquota(project(SUPABASE), args);
    expect(output).toMatch(message);
    expect(output).toContain('pgquota --help');
    expect(code).toBe(2);
  });

  test.each(['-v', '--version'])('%s says the release', async (option) => {
    const { version } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'));
    expect(await pgquota(project(), [option])).toEqual({ code: 0, output: `${version}\n` });
  });

  test('a DATABASE_URL that is no Postgres, or has a password as it is spoken, is a note', async () => {
    for (const url of ['file:./dev.db', 'postgres://u:p@ss#word@db.example.com/app']) {
      const { code, output } = await pgquota(project(SUPABASE), ['init'], { DATABASE_URL: url });
      expect(output).toContain('note: the database of DATABASE_URL was not looked at.');
      expect(output).not.toMatch(/ss#|word@db/);
      expect(code).toBe(0);
    }
  });
});
