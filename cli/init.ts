/** pgquota init: puts the migrations and a first plan document into somebody's project. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findDatabaseUrl } from './database.ts';
import { refuseUnfit } from './fitness.ts';
import { addMigrations, findTakenNames } from './folder.ts';
import { shippedMigrations, shippedRoles, version } from './package.ts';
import { Problem, Unreachable } from './problem.ts';
import { STARTER_PLANS } from './starter-plans.ts';

export type Layout = 'supabase' | 'dbmate' | 'psql';

const FOLDERS = { supabase: 'supabase/migrations', dbmate: 'db/migrations', psql: 'migrations' };
const PLANS = 'plans.json';

export async function init(options: {
  layout: Layout;
  folder: string | undefined;
  databaseUrl: string | undefined;
}): Promise<void> {
  const { layout, databaseUrl } = options;
  const folder = options.folder ?? FOLDERS[layout];
  if (layout === 'supabase' && !options.folder && !existsSync('supabase')) refuseNoProject();
  const isPlain = layout !== 'supabase';
  refuseTakenNames(folder);
  await look(databaseUrl, isPlain);

  const migrations = [...(isPlain ? [shippedRoles()] : []), ...shippedMigrations()];
  const report = addMigrations(folder, migrations);
  for (const name of report.written) console.log(`wrote ${join(folder, name)}`);
  if (!existsSync(PLANS)) {
    writeFileSync(
      PLANS,
      `${JSON.stringify({ $schema: schemaAddress(), ...STARTER_PLANS }, null, 2)}\n`,
    );
    console.log(`wrote ${PLANS}: what your plans allow, to edit`);
  } else if (report.written.length) {
    console.log(`${PLANS} is there and was left as it is`);
  }
  for (const note of report.notes) console.log(`note: ${note}`);
  if (!report.written.length) {
    console.log(`The migrations of pgquota ${version} are all in ${folder}.`);
    return;
  }
  if (isPlain) {
    console.log(
      '\nOn plain Postgres the roles anon, authenticated and service_role are created where they are\n' +
        'missing, which needs a user that may create roles. PostgREST signs in as a role of yours:\n' +
        "  create role authenticator login noinherit password '…';\n" +
        '  grant anon, authenticated, service_role to authenticator;',
    );
  }
  console.log(
    `\nNow run:\n  ${commandFor(layout, folder, report.written)}\n  npx pgquota plans ${PLANS}`,
  );
  if (!process.env.DATABASE_URL) console.log('with DATABASE_URL set, or in a file .env here.');
}

/** The project's own migrations tell what its databases have, also where none can be asked. */
function refuseTakenNames(folder: string): void {
  const [first] = findTakenNames(folder);
  if (!first) return;
  throw new Problem(
    `${join(folder, first.file)} creates ${first.what}, a name that pgquota needs: rename yours, or drop it in a later migration when pgquota takes its place.`,
    'Nothing was written.',
  );
}

/** The database that was named, else the one of this project if there is one and it answers. */
async function look(databaseUrl: string | undefined, createsRoles: boolean): Promise<void> {
  if (databaseUrl) return refuseUnfit(databaseUrl, { createsRoles });
  let url: string;
  try {
    url = findDatabaseUrl(undefined);
  } catch {
    return;
  }
  try {
    await refuseUnfit(url, { createsRoles });
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    console.log(`note: the database of DATABASE_URL was not looked at. ${error.message}`);
  }
}

function refuseNoProject(): never {
  throw new Problem(
    `No Supabase project here: there is no folder supabase in ${process.cwd()}.`,
    existsSync('db/migrations')
      ? 'This looks like a dbmate project: npx pgquota init --dbmate'
      : 'Run it where supabase/ is (npx supabase init makes one), or without Supabase: ' +
          'npx pgquota init --dbmate, or --psql for plain SQL files.',
  );
}

function commandFor(layout: Layout, folder: string, written: string[]): string {
  switch (layout) {
    case 'supabase':
      return 'npx supabase db push';
    case 'dbmate':
      return folder === FOLDERS.dbmate
        ? 'npx dbmate up'
        : `npx dbmate --migrations-dir ${quoted(folder)} up`;
    case 'psql': {
      const files = written.map((name) => `-f ${quoted(join(folder, name))}`).join(' ');
      return `psql "$DATABASE_URL" -1 -v ON_ERROR_STOP=1 ${files}`;
    }
  }
}

const quoted = (path: string) => (/^[\w./-]+$/.test(path) ? path : `"${path}"`);

/** The copy in node_modules matches the version and needs no network. */
function schemaAddress(): string {
  const installed = 'node_modules/pgquota/schema/plans.schema.json';
  return existsSync(installed)
    ? `./${installed}`
    : `https://unpkg.com/pgquota@${version}/schema/plans.schema.json`;
}
