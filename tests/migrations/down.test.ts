// The down part of the migration: dbmate's rollback says a sentence and changes nothing; psql and the
// Supabase CLI, which run the whole file, pass over it, however they cut it into transactions.
import { readFileSync } from 'node:fs';
import { resolveBinary } from 'dbmate';
import { expect, test, vi } from 'vitest';
import { compileMigration } from '../../scripts/build.ts';
import { migrate, withoutTlsOnLoopback } from '../../scripts/local/migrate.ts';
import { cleanEnvironment, run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { readReleases } from '../../scripts/releases.ts';
import { pushBySupabase } from '../../scripts/verify/ways.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

vi.setConfig({ testTimeout: 120_000 }); // tools that start a process or twenty, on a busy machine

const releases = readReleases().length;

const dbmate = (url: string, command: string) =>
  run(
    resolveBinary(),
    ['--migrations-dir', fromRoot('supabase/migrations'), '--no-dump-schema', command],
    {
      env: cleanEnvironment({
        DATABASE_URL: withoutTlsOnLoopback(url),
        DBMATE_MIGRATIONS_TABLE: 'supabase_migrations.schema_migrations',
      }),
    },
  );

async function withDatabase(use: (database: TestDatabase) => Promise<void>): Promise<void> {
  const database = await createDatabase({ from: 'empty' });
  try {
    await use(database);
  } finally {
    await database.drop();
  }
}

test.for([
  ['dbmate', (url: string) => migrate(url)],
  ['the Supabase CLI', (url: string) => pushBySupabase(url)],
] as const)(
  'after %s: rollback is refused in a sentence, and up has nothing to do',
  ([, install]) =>
    withDatabase(async ({ url, connect }) => {
      await install(url);
      const rollback = await dbmate(url, 'rollback');
      expect(rollback.output).toMatch(
        /goes forward only, and nothing was rolled back.*remove\.sql/,
      );
      expect(rollback.code).not.toBe(0);
      const client = await connect();
      const { rows } = await client.query(
        `select (select count(*)::integer from supabase_migrations.schema_migrations) as versions,
         (select count(*)::integer from verify_installation()) as problems`,
      );
      expect(rows).toEqual([{ versions: releases, problems: 0 }]);
      expect(await migrate(url)).toEqual([]);
      expect(await pushBySupabase(url)).toEqual([]);
    }),
);

test('once pgquota was taken out, rollback forgets the version and up installs again', () =>
  withDatabase(async ({ url, connect }) => {
    await migrate(url);
    const client = await connect();
    await client.query(readFileSync(fromRoot('sql/optional/remove.sql'), 'utf8'));
    // Each forgets one.
    for (let n = 0; n < releases; n += 1) expect((await dbmate(url, 'rollback')).code).toBe(0);
    expect(await migrate(url)).toHaveLength(releases);
  }));

/** As psql cuts it: at the semicolons outside of bodies. */
const statements = () =>
  compileMigration().match(/(?:--.*|\$\$[\s\S]*?\$\$|'[^']*'|[^;])+;/g) as string[];

test.for([
  ['in one transaction', ['begin', ...statements(), 'commit']],
  [
    'in one transaction with savepoints',
    ['begin', ...statements().flatMap((one) => ['savepoint s', one, 'release s']), 'commit'],
  ],
  ['statement by statement', statements()],
  ['as one text', [compileMigration()]],
] as const)('the whole file %s: the down part does nothing, now and later', ([, texts]) =>
  withDatabase(async ({ connect }) => {
    const client = await connect();
    for (const text of texts) await client.query(text);
    const note = `select coalesce(current_setting('pgquota.migration', true), '') as note`;
    expect((await client.query(note)).rows).toEqual([{ note: '' }]);
    expect((await client.query('select * from verify_installation()')).rows).toEqual([]);
    // What dbmate would run, in the same session: nothing is left that lets it pass.
    const [, down = ''] = compileMigration().split('-- migrate:down');
    await expect(client.query(down)).rejects.toMatchObject({ code: '0A000' });
  }),
);
