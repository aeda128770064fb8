// Compiles sql/ into the migration: the printed edition of the book.
//
// The contents page sql/pgquota.sql names the files in reading order; their texts, one after the
// other, are the migration of the first release, and what later ones are made from: see upgrade.ts. Two
// of them are generated first: see release.ts. `npm run verify` does it all again and compares.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Throwaway, withThrowaway } from './local/throwaway.ts';
import { DOWN, down, UP, upBegins, upEnds } from './markers.ts';
import { generateRelease } from './release.ts';
import { brokenReleases, fileOf, type Release, readReleases, textOf } from './releases.ts';
import { compileUpgrade } from './upgrade.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const contentsPage = join(root, 'sql/pgquota.sql');

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

/** The whole of sql/ as one text that installs it, whatever the release. */
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

const statePart = ({ version }: Release) => join(root, `sql/upgrades/${version}.sql`);

/** The file of the last release: the whole of the first, what is new in the others. */
export async function compileEdition(server: Pick<Throwaway, 'create'>): Promise<[string, string]> {
  const releases = readReleases();
  const last = releases.at(-1) as Release;
  const text =
    releases.length === 1
      ? compileMigration()
      : await compileUpgrade(server, {
          from: (releases.at(-2) as Release).version,
          to: last.version,
          frozen: releases.slice(0, -1).map(textOf),
          state: existsSync(statePart(last)) ? readFileSync(statePart(last), 'utf8') : '',
          book: compileMigration(),
        });
  return [fileOf(last), text];
}

/** Writes what has changed; of a release that is frozen nothing may. */
export async function build(server: Pick<Throwaway, 'create'>): Promise<void> {
  const write = (name: string, content: string) => {
    writeFileSync(join(root, name), content);
    console.log(`built ${name}`);
  };
  const release = await generateRelease(await server.create('release'));
  for (const [name, content] of Object.entries(release)) write(name, content);
  const [name, text] = await compileEdition(server);
  const isFrozen = Boolean(readReleases().at(-1)?.sha256);
  if (!isFrozen) write(name, text);
  else if (readFileSync(join(root, name), 'utf8') !== text) {
    throw new Error(
      `sql/ has changed since release ${thisVersion()} was frozen: npm run freeze -- <next version> opens the next one`,
    );
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const broken = brokenReleases();
  if (broken.length) throw new Error(broken.join('\n'));
  await withThrowaway(build);
}
