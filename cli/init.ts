/** pgquota init: puts the migrations and a first plan document into somebody's project. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findDatabase } from './database.ts';
import { refuseUnfit } from './fitness.ts';
import { addMigrations, findTakenNames } from './folder.ts';
import { FOLDERS, type Layout, PLANS } from './layout.ts';
import { nextSteps } from './next-steps.ts';
import { shippedMigrations, shippedRoles, version } from './package.ts';
import { Problem, Unreachable } from './problem.ts';
import { STARTER_PLANS } from './starter-plans.ts';

export async function init(options: {
  layout: Layout;
  folder: string | undefined;
  databaseUrl: string | undefined;
  typedIn: string;
}): Promise<void> {
  const { layout, databaseUrl, typedIn } = options;
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
  console.log(nextSteps({ layout, folder, written: report.written, databaseUrl, typedIn }));
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
  const database = findDatabase(undefined);
  if (!database) return;
  try {
    await refuseUnfit(database.url, { createsRoles });
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    console.log(`note: the database of DATABASE_URL was not looked at. ${error.message}`);
    if (error.advice) console.log(`  ${error.advice}`);
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

/** The copy in node_modules matches the version and needs no network. */
function schemaAddress(): string {
  const installed = 'node_modules/pgquota/schema/plans.schema.json';
  return existsSync(installed)
    ? `./${installed}`
    : `https://unpkg.com/pgquota@${version}/schema/plans.schema.json`;
}
