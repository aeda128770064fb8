// Compiles sql/ into the migration: the printed edition of the book.
//
// The contents page sql/pgquota.sql names the files in reading order; their texts, one after the
// other, are the migration. Two of them are generated first: see release.ts. `npm run verify` does it
// all again and compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DOWN, down, UP, upBegins, upEnds } from './markers.ts';
import { generateRelease } from './release.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const contentsPage = join(root, 'sql/pgquota.sql');
export const migrationPath = join(root, 'supabase/migrations/20261125000000_pgquota.sql');

/** Said last, when everything is there. */
const RELOAD = /^-- PostgREST reads .*\nnotify pgrst.*$/m;

export const thisVersion = (): string =>
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;

/** What the contents page names, one after the other; `instead` has texts for files that are yet to be generated. */
export function compileBody(instead: Record<string, string> = {}): string {
  return (
    readFileSync(contentsPage, 'utf8')
      .split('\n')
      // What only psql understands has no place in a migration.
      .filter((line) => !line.startsWith('\\set '))
      .map((line) => {
        const include = /^\\ir (\S+)$/.exec(line);
        if (!include) return line;
        const name = include[1] as string;
        return `-- sql/${name}\n\n${instead[name] ?? readFileSync(join(root, 'sql', name), 'utf8')}`;
      })
      .join('\n')
  );
}

/** The whole of sql/ as one text that dbmate, the Supabase CLI and psql can run. */
export function compileMigration(instead: Record<string, string> = {}): string {
  const body = compileBody(instead);
  const version = thisVersion();
  return [
    UP,
    '',
    '-- Generated from sql/ by npm run build. Do not edit.',
    '',
    upBegins(version),
    body.replace(RELOAD, (reload) => `${upEnds(version)}\n${reload}`).trimEnd(),
    '',
    DOWN,
    '',
    down(version),
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, content] of Object.entries(await generateRelease())) {
    writeFileSync(join(root, name), content);
    console.log(`built ${name}`);
  }
  writeFileSync(migrationPath, compileMigration());
  console.log(`built ${relative(root, migrationPath)}`);
}
