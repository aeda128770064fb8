/**
 * As somebody who has never seen pgquota: from the packed tarball to the first refusal over REST, in
 * three kinds of project. Needs the npm registry for the package's own dependencies.
 */
import { cpSync, existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { shippedMigrations } from '../../cli/package.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { grantLikeSupabase } from '../support/privileges.ts';
import { startRest } from '../support/rest.ts';
import { createProject, run } from './cli.ts';

const QUIET = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];

const { tarball, files: packed } = inject('packed');

describe('the tarball', () => {
  test('holds migrations, the extension, optional SQL, client, types, parts for React, schema and the command and its console, and nothing else', () => {
    const wanted =
      /^(dist\/cli\/[\w-]+\.js|dist\/extension\/pgquota(\.control|--\d+\.\d+\.\d+\.sql)|dist\/(react|testing|types)\/[\w-]+\.(js|d\.ts)|dist\/studio\/server\/[\w-]+\.js|dist\/studio\/page\/(index\.html|icon\.svg|licenses\.md|assets\/[\w-]+\.(js|css))|react\/[\w-]+\.(tsx|css)|schema\/plans\.schema\.json|sql\/roles\.sql|sql\/optional\/\w+\.sql|supabase\/migrations\/\d{14}_\w+\.sql|package\.json|README\.md|LICENSE)$/;
    expect(packed.filter((path) => !wanted.test(path))).toEqual([]);
    for (const path of [
      'dist/cli/main.js',
      'dist/extension/pgquota.control',
      'dist/types/index.js',
      'dist/types/index.d.ts',
      'dist/react/index.js',
      'dist/studio/page/index.html',
      'dist/studio/page/licenses.md',
      'dist/studio/server/studio.js',
      'react/styles.css',
    ]) {
      expect(packed).toContain(path);
    }
    for (const name of readdirSync(fromRoot('supabase/migrations'))) {
      expect(packed).toContain(`supabase/migrations/${name}`);
    }
  });

  test.each([
    ['publint', ['run', '--strict']],
    ['attw', []],
  ])('is clean for %s', async (tool, args) => {
    const { code, output } = await run(
      fromRoot(`node_modules/.bin/${tool}`),
      [...args.slice(0, 1), tarball, ...args.slice(1)],
      { cwd: fromRoot('.') },
    );
    expect(output).not.toMatch(/Warnings|Suggestions|Errors/);
    expect(code).toBe(0);
  });
});

/** What `npm install pgquota` leaves in an empty project. */
const installed = createProject({
  'package.json': JSON.stringify({ name: 'app', private: true, type: 'module' }),
});
beforeAll(async () => {
  const { code, output } = await run('npm', ['install', tarball, ...QUIET], {
    cwd: installed.folder,
  });
  if (code !== 0) throw new Error(`npm install failed:\n${output}`);
}, 120_000);
afterAll(() => installed.remove());

/** An own project with pgquota installed in it; every command runs in its folder. */
function install(files: Record<string, string>) {
  const { folder, remove } = createProject(files);
  cpSync(installed.folder, folder, { recursive: true, verbatimSymlinks: true });
  const command = (name: string, args: string[], environment: NodeJS.ProcessEnv = {}) =>
    run(name, args, {
      cwd: folder,
      environment: { SUPABASE_TELEMETRY_DISABLED: '1', ...environment },
    });
  return {
    folder,
    remove,
    command,
    /** As if the project had it too; npx takes what stands there. */
    link: (name: string) =>
      symlinkSync(fromRoot(`node_modules/.bin/${name}`), join(folder, 'node_modules/.bin', name)),
    pgquota: (...args: string[]) => command('npx', ['--no-install', 'pgquota', ...args]),
    migrations: (path: string) => readdirSync(join(folder, path)).sort(),
  };
}

type Project = ReturnType<typeof install>;

/**
 * The commands that init prints, in the order and words of its output, with `.env` naming the database.
 * The plan document is edited in between (two instead of fifty), and met over HTTP.
 */
async function expectRefusal(project: Project, database: TestDatabase, ...args: string[]) {
  const { folder, pgquota, command } = project;
  writeFileSync(join(folder, '.env'), `DATABASE_URL=${database.url}\n`);
  const { output } = await pgquota('init', ...args);
  const steps = output
    .slice(output.indexOf('Now run:'))
    .split('\n')
    .filter((line) => line.startsWith('  '));
  expect(steps.at(-1)).toBe('  npx pgquota plans plans.json');
  const file = join(folder, 'plans.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace('"month": 50', '"month": 2'));

  const done = await command('sh', ['-c', ['set -e', ...steps].join('\n')], {
    SUPABASE_YES: '1', // nobody is there to answer
    DBMATE_NO_DUMP_SCHEMA: '1',
    npm_config_yes: 'false',
  });
  expect(done.output).toMatch(/\+ limit {4}free\/ai_generation\/month +amount: 2/);
  expect(done.code).toBe(0);

  const rest = await startRest(database);
  try {
    const ada = rest.asUser('ada');
    const enforce = () => ada.rpc('enforce_usage', { feature: 'ai_generation' });
    expect((await enforce()).status).toBe(200);
    expect((await enforce()).status).toBe(200);
    const refused = await enforce();
    expect(refused.status).toBe(402);
    expect(refused.error).toMatchObject({ code: 'PT402', hint: '/settings/billing' });
  } finally {
    await rest.stop();
  }
  const examined = await pgquota('doctor');
  expect(examined.output).toContain('Nothing is wrong.');
  expect(examined.code).toBe(0);
  expect((await pgquota('init', ...args)).output).toContain('are all in');
}

describe('from nothing to the first refusal', () => {
  const OWN = 'create table public.notes (id bigint primary key);\n';

  test('in a Supabase project whose newest migration is dated later than today', async () => {
    const project = install({
      'supabase/config.toml': 'project_id = "app"\n',
      'supabase/migrations/20991231000000_own.sql': OWN,
    });
    project.link('supabase');
    const database = await createDatabase({ from: 'empty' });
    try {
      await grantLikeSupabase(await database.connect());
      await expectRefusal(project, database);
      expect(project.migrations('supabase/migrations')).toEqual([
        '20991231000000_own.sql',
        ...shippedMigrations().map(
          ({ name }, n) => `${20991231000001 + n}${name.replace(/^\d+/, '')}`,
        ),
      ]);
    } finally {
      await database.drop();
      project.remove();
    }
  }, 120_000);

  test('in a dbmate project', async () => {
    const project = install({
      'db/migrations/20200101000000_own.sql': `-- migrate:up\n${OWN}-- migrate:down\ndrop table public.notes;\n`,
    });
    project.link('dbmate');
    const database = await createDatabase({ from: 'empty' });
    try {
      await expectRefusal(project, database, '--dbmate');
    } finally {
      await database.drop();
      project.remove();
    }
  }, 120_000);

  test('with plain psql', async () => {
    const project = install({});
    const database = await createDatabase({ from: 'empty' });
    try {
      await expectRefusal(project, database, '--psql');
      await expectRefusalWithoutPostgrest(project, database);
    } finally {
      await database.drop();
      project.remove();
    }
  }, 120_000);
});

/** pgquota/pg where neither supabase-js nor PostgREST is: it compiles to the last declaration, and runs. */
async function expectRefusalWithoutPostgrest(
  { folder, command }: Project,
  database: TestDatabase,
): Promise<void> {
  expect(readdirSync(join(folder, 'node_modules'))).not.toContain('@supabase');
  const typescript = `
    import { createUsageClient, UsageLimitExceeded, usageLimitResponse } from 'pgquota/pg';
    declare const pool: { query(text: string, values: unknown[]): Promise<{ rows: object[] }> };
    const usage = createUsageClient<'ai_generation'>(pool, { claims: { sub: 'grace' } });
    export async function route(): Promise<Response | { used: number; limit: number | null }[]> {
      try {
        await usage.enforceUsage({ feature: 'ai_generation' });
      } catch (error) {
        if (error instanceof UsageLimitExceeded) return usageLimitResponse(error);
        throw error;
      }
      const { data, error } = await usage.from('current_usage').select('used, limit');
      if (error) throw error;
      return data;
    }
    // @ts-expect-error a feature that this project does not have
    export const wrong = () => usage.enforceUsage({ feature: 'ai_generatoin' });
  `;
  writeFileSync(join(folder, 'direct.ts'), typescript);
  for (const [module, resolution] of [
    ['esnext', 'bundler'],
    ['nodenext', 'nodenext'],
  ] as const) {
    const compiled = await command(fromRoot('node_modules/.bin/tsc'), [
      ...[
        'direct.ts',
        '--ignoreConfig',
        '--noEmit',
        '--strict',
        '--lib',
        'es2023,dom',
        '--types',
        '',
      ],
      ...['--module', module, '--moduleResolution', resolution, '--target', 'es2023'],
    ]);
    expect(compiled).toEqual({ code: 0, output: '' });
  }
  writeFileSync(
    join(folder, 'direct.mjs'),
    `import pg from 'pg';
    import { UsageLimitExceeded } from 'pgquota';
    import { createUsageClient } from 'pgquota/pg';
    const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
    const usage = createUsageClient(pool);
    const enforce = () => usage.enforceUsage({ feature: 'ai_generation', subject: 'grace' });
    const { used } = await enforce();
    await enforce();
    await enforce().catch((error) => console.log(used, error instanceof UsageLimitExceeded));
    await pool.end();`,
  );
  const ran = await command('node', ['direct.mjs'], { DATABASE_URL: database.url });
  expect(ran).toEqual({ code: 0, output: '1 true\n' });
}

/** What an app writes, with the database types that the Supabase CLI generates for it. */
const APP = `
  import { createClient, type SupabaseClient } from '@supabase/supabase-js';
  import { createUsageClient, UsageLimitExceeded, usageLimitResponse } from 'pgquota';
  import type plans from './plans.json';
  export const usage = createUsageClient<keyof typeof plans.features>(
    createClient<Database>('http://localhost', 'key'),
  );
  export const untyped = (supabase: SupabaseClient) => createUsageClient(supabase);
  export async function route(): Promise<Response> {
    try {
      const decision = await usage.enforceUsage({ feature: 'export' });
      const remaining: number | null = decision.remaining;
      const { data } = await usage.from('current_usage').select('feature, limit');
      const rows: { feature: 'ai_generation' | 'export'; limit: number | null }[] = data ?? [];
      return new Response(JSON.stringify({ remaining, rows }));
    } catch (error) {
      if (error instanceof UsageLimitExceeded) return usageLimitResponse(error);
      throw error;
    }
  }
  // @ts-expect-error a feature that this project does not have
  export const wrong = () => usage.enforceUsage({ feature: 'exprot' });
  // @ts-expect-error rows are typed
  export const wrongRow = async () => (await usage.from('current_usage').select()).data?.[0]?.nothing;
  // @ts-expect-error a query is no client
  export const nothing = () => createUsageClient({ query: 'select 1' });
  ${readFileSync(fromRoot('types/database.ts'), 'utf8')}`;

/** The same over PostgREST's own library. */
const WITHOUT_SUPABASE = APP.replace('createClient, type SupabaseClient', 'PostgrestClient')
  .replace('supabase-js', 'postgrest-js')
  .replace(
    "createClient<Database>('http://localhost', 'key')",
    "new PostgrestClient<Database>('/')",
  )
  .replace('supabase: SupabaseClient', 'supabase: PostgrestClient');

/** What supabase-js makes of an empty 404 differs from what came; the client must not. */
const PROXY = `
  import { createServer } from 'node:http';
  import { createClient } from '@supabase/supabase-js';
  import { createUsageClient } from 'pgquota';
  globalThis.WebSocket ??= class {};
  const server = createServer((_, response) => response.writeHead(404).end());
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const supabase = createClient('http://127.0.0.1:' + server.address().port, 'key');
  await createUsageClient(supabase)
    .setPlan({ subject: 'ada', plan: 'pro' }, { signal: AbortSignal.timeout(5000) })
    .then(() => console.log('done'), ({ name, status }) => console.log(name, status));
  process.exit();`;

describe('the library in somebody’s code', () => {
  let project: Project;
  beforeAll(async () => {
    project = install({
      'app.ts': APP,
      'app.cts': APP, // CommonJS: its import is a require
      'postgrest.ts': WITHOUT_SUPABASE,
      'postgrest.cts': WITHOUT_SUPABASE,
      'plans.json': '{"features": {"export": {}, "ai_generation": {}}, "plans": {}}',
      'proxy.mjs': PROXY,
      'tsconfig.json': JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          resolveJsonModule: true,
          skipLibCheck: true,
          types: [],
          target: 'es2022',
          lib: ['es2023', 'dom'],
        },
        files: [],
      }),
    });
    await add(
      `typescript-5.4@npm:typescript@5.4`, // the least: docs/installing.md
      `typescript-5.8@npm:typescript@5.8`, // the least for CommonJS
    );
  }, 120_000);
  afterAll(() => project.remove());

  async function add(...packages: string[]): Promise<void> {
    const { code, output } = await project.command('npm', ['install', ...packages, ...QUIET]);
    expect(code, output).toBe(0);
  }

  async function compile(file: string, module: string, typescript: string): Promise<string> {
    const [folder, name] =
      typescript === '7'
        ? [fromRoot('.'), 'typescript']
        : [project.folder, `typescript-${typescript}`];
    const config = JSON.parse(readFileSync(join(project.folder, 'tsconfig.json'), 'utf8'));
    config.compilerOptions.module = module === 'bundler' ? 'esnext' : module;
    config.compilerOptions.moduleResolution = module;
    config.files = [file];
    writeFileSync(join(project.folder, 'tsconfig.run.json'), JSON.stringify(config));
    const tsc = join(folder, 'node_modules', name, 'bin/tsc');
    const { output } = await project.command('node', [tsc, '-p', 'tsconfig.run.json']);
    return output;
  }

  // Corners, not the product: the oldest and newest of each, as ES modules, CommonJS and bundled.
  const OLDEST = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8')).peerDependencies[
    '@supabase/supabase-js'
  ].replace('^', '');
  describe.each([
    [`@supabase/supabase-js@${OLDEST}`, 'app', ['5.4 nodenext', '5.4 bundler', '5.8 CommonJS']],
    ['@supabase/supabase-js@2.119.1', 'app', ['5.4 nodenext', '7 bundler', '7 CommonJS']],
  ] as const)('with %s', (version, app, corners) => {
    beforeAll(() => add(version), 120_000);
    test('takes no empty 404 for an answer', async () => {
      const { output } = await project.command('node', ['proxy.mjs']);
      expect(output).toMatch(/^UsageError 404$/m);
    });
    test.each(corners)('compiles: TypeScript %s', async (corner) => {
      expect(await compileCorner(app, corner)).toBe('');
    });
  });

  describe('with postgrest-js alone', () => {
    beforeAll(async () => {
      const { code, output } = await project.command('npm', [
        ...['uninstall', '@supabase/supabase-js', ...QUIET],
      ]);
      expect(code, output).toBe(0);
    }, 120_000);
    test.each([
      ['1.21.3', '5.4 nodenext'],
      ['2.119.1', '5.4 nodenext'],
      ['2.119.1', '7 CommonJS'],
    ])(
      '%s compiles: TypeScript %s',
      async (version, corner) => {
        expect(existsSync(join(project.folder, 'node_modules/@supabase/supabase-js'))).toBe(false);
        await add(`@supabase/postgrest-js@${version}`);
        expect(await compileCorner('postgrest', corner)).toBe('');
      },
      120_000,
    );
  });

  function compileCorner(app: string, corner: string): Promise<string> {
    const [typescript = '', module = ''] = corner.split(' ');
    return module === 'CommonJS'
      ? compile(`${app}.cts`, 'nodenext', typescript)
      : compile(`${app}.ts`, module, typescript);
  }

  test.each([
    ['import', 'esm.mjs', `import { UsageLimitExceeded } from 'pgquota';`],
    ['require', 'cjs.cjs', `const { UsageLimitExceeded } = require('pgquota');`],
  ])('can be loaded with %s', async (_, name, line) => {
    writeFileSync(join(project.folder, name), `${line} console.log(typeof UsageLimitExceeded);`);
    expect(await project.command('node', [name])).toEqual({ code: 0, output: 'function\n' });
  });

  test('the schema can be imported for editors and tools', async () => {
    const code = `console.log(require('pgquota/plans.schema.json').title)`;
    expect((await project.command('node', ['-e', code])).output).toBe('pgquota plans\n');
  });
});

describe('in a page of React', () => {
  let project: Project;
  beforeAll(async () => {
    project = install({
      'page.tsx': `
        import { createClient } from '@supabase/supabase-js';
        import { Paywall, PricingTable, UsageIndicator, UsageProvider, useUsage } from 'pgquota/react';
        import 'pgquota/react/styles.css';
        const supabase = createClient('http://localhost', 'anon');
        export function Page({ user }: { user: string | null }) {
          return (
            <UsageProvider client={supabase} user={user}>
              <UsageIndicator features={['ai_generation']} onUpgrade={({ feature }) => alert(feature)} />
              <Paywall refused={null} onClose={(why) => alert(why)} />
              <PricingTable prices={{ pro: '€ 19' }} onChoose={async (plan) => alert(plan)} />
              <Left />
            </UsageProvider>
          );
        }
        function Left() {
          const { tightest, refresh } = useUsage({ feature: 'ai_generation' });
          return <button onClick={refresh}>{tightest?.remaining ?? 'unlimited'}</button>;
        }
      `,
      'styles.d.ts': `declare module '*.css';`,
      'tsconfig.json': JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          skipLibCheck: true,
          types: [],
          lib: ['es2023', 'dom'],
          jsx: 'react-jsx',
        },
        files: ['page.tsx', 'styles.d.ts'],
      }),
      'render.mjs': `
        import { readFileSync } from 'node:fs';
        import { createElement, version } from 'react';
        import { renderToString } from 'react-dom/server';
        import { UsageIndicator, UsageProvider } from 'pgquota/react';
        readFileSync(new URL(import.meta.resolve('pgquota/react/styles.css')));
        const client = { schema: () => client, from: () => client, rpc: () => client };
        const page = createElement(UsageProvider, { client, user: 'ada' }, createElement(UsageIndicator));
        console.log(version.split('.')[0], renderToString(page).match(/pgquota-waiting/g).length);
      `,
    });
  });
  afterAll(() => project.remove());

  const react = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'));
  test.each([
    ['oldest', '18.2.0', '18'],
    ['newest', react.devDependencies.react, react.devDependencies['@types/react']],
  ])('it compiles and renders on a server with the %s React', async (_, version, types) => {
    const { code, output } = await project.command('npm', [
      'install',
      ...[`react@${version}`, `react-dom@${version}`, `@types/react@${types}`],
      ...[`@supabase/supabase-js@${react.devDependencies['@supabase/supabase-js']}`, ...QUIET],
    ]);
    expect(code, output).toBe(0);
    for (const [module, resolution] of [
      ['esnext', 'bundler'],
      ['nodenext', 'nodenext'],
    ] as const) {
      const compiled = await project.command(fromRoot('node_modules/.bin/tsc'), [
        ...['-p', '.', '--module', module, '--moduleResolution', resolution],
      ]);
      expect(compiled).toEqual({ code: 0, output: '' });
    }
    expect(await project.command('node', ['render.mjs'])).toEqual({
      code: 0,
      output: `${version.split('.')[0]} 3\n`,
    });
  });

  test('npx pgquota add writes what the tarball holds', async () => {
    expect((await project.pgquota('add', 'usage-indicator')).output).toContain(
      'wrote components/usage-indicator.tsx',
    );
  });
});
