/** The commands that bring a database from the release that is installed to the one that is here. */
import { findDatabase } from './database.ts';
import { present } from './folder.ts';
import { FOLDERS, type Layout } from './layout.ts';
import { migrateLines } from './next-steps.ts';
import { shippedMigrations, version } from './package.ts';

export const WRITE_MISSING = 'npx pgquota init writes the migrations that are missing; apply them.';

export function updateSteps(
  installed: string | undefined,
  databaseUrl: string | undefined,
): string {
  if (installed && isLater(installed, version)) {
    return `npm install pgquota@${installed}: the database is newer than this package.`;
  }
  const layout = (Object.keys(FOLDERS) as Layout[]).find((one) => filesIn(one).some(Boolean));
  if (!layout) return WRITE_MISSING;
  const files = filesIn(layout);
  const steps: string[] = [];
  if (!files.every(Boolean)) {
    steps.push(`npx pgquota init${layout === 'supabase' ? '' : ` --${layout}`}`);
    // psql is told which files, and init says how they are called.
    if (layout === 'psql') return `${steps}, and what it prints.`;
  }
  const pending = shippedMigrations().flatMap(({ text }, index) => {
    const file = files[index];
    return file && (!installed || isLater(releaseOf(text), installed)) ? [file] : [];
  });
  return [
    ...steps,
    ...migrateLines(layout, FOLDERS[layout], pending, findDatabase(databaseUrl)),
  ].join('\n');
}

/** The files of our migrations in the project at hand, in their order; undefined for each that is not there. */
const filesIn = (layout: Layout) => present(FOLDERS[layout], shippedMigrations());

const releaseOf = (text: string) => /'pgquota\.migration', '([^']+)'/.exec(text)?.[1] ?? version;

export function isLater(a: string, b: string): boolean {
  const [one, other] = [a.split('.').map(Number), b.split('.').map(Number)];
  const at = one.findIndex((part, index) => part !== other[index]);
  return at >= 0 && (one[at] as number) > (other[at] as number);
}
