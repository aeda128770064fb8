/** The commands that follow init, as they can be pasted: for the database that was named, if one was. */
import { join, relative } from 'node:path';
import { findDatabase, isLoopback, type NamedDatabase } from './database.ts';
import { FOLDERS, type Layout, PLANS } from './layout.ts';

/** What a shell needs before "$DATABASE_URL" means what the file .env says. */
const EXPORT = 'export DATABASE_URL="$(node --env-file=.env -p process.env.DATABASE_URL)"';

export interface Place {
  layout: Layout;
  folder: string;
  /** File names of the migrations that were written. */
  written: string[];
  databaseUrl: string | undefined;
  /** Where the command was typed, when --workdir named another folder. */
  typedIn: string;
}

export function nextSteps({ layout, folder, written, databaseUrl, typedIn }: Place): string {
  const database = findDatabase(databaseUrl);
  const lines: string[] = [];
  if (process.cwd() !== typedIn) lines.push(`cd ${quoted(relative(typedIn, process.cwd()))}`);
  lines.push(...migrateLines(layout, folder, written, database), `npx pgquota plans ${PLANS}`);
  return [
    `\nNow run:\n${lines.map((line) => `  ${line}`).join('\n')}`,
    ...(database?.from === 'option' ? ['with DATABASE_URL set to the url that you gave.'] : []),
    ...(database ? [] : ['with DATABASE_URL set, or in a file .env here.']),
    ...(layout === 'supabase' ? [ofSupabase(Boolean(database))] : []),
  ].join('\n');
}

/** What applies `files` of the folder. */
export function migrateLines(
  layout: Layout,
  folder: string,
  files: string[],
  database: NamedDatabase | undefined,
): string[] {
  const migrate = commandFor(layout, folder, files, database?.url);
  return database?.from === '.env' && migrate.includes('$DATABASE_URL')
    ? [EXPORT, migrate]
    : [migrate];
}

/** The CLI's version 3 turned the meaning of `db push` around. */
const ofSupabase = (isNamed: boolean) =>
  (isNamed
    ? 'The linked project: db push --remote; the local stack: db push.'
    : 'That pushes to the linked project; the local stack: db push.') +
  ' Before version 3 of the Supabase CLI: db push --db-url "$DATABASE_URL".';

function commandFor(
  layout: Layout,
  folder: string,
  written: string[],
  url: string | undefined,
): string {
  switch (layout) {
    case 'supabase':
      return `npx supabase db push --remote${url ? '="$DATABASE_URL"' : ''}`;
    case 'dbmate': {
      const options = [
        ...(url ? urlForDbmate(url) : []),
        ...(folder === FOLDERS.dbmate ? [] : ['--migrations-dir', quoted(folder)]),
      ];
      return ['npx dbmate', ...options, 'up'].join(' ');
    }
    case 'psql': {
      const files = written.map((name) => `-f ${quoted(join(folder, name))}`).join(' ');
      return `psql "$DATABASE_URL" -1 -v ON_ERROR_STOP=1 ${files}`;
    }
  }
}

/** dbmate insists on TLS unless told otherwise, and a server on this machine rarely speaks it. */
function urlForDbmate(url: string): string[] {
  if (!isLoopback(url) || /[?&]sslmode=/.test(url) || process.env.PGSSLMODE) return [];
  return ['--url', `"$DATABASE_URL${url.includes('?') ? '&' : '?'}sslmode=disable"`];
}

const quoted = (path: string) => (/^[\w./-]+$/.test(path) ? path : `"${path}"`);
