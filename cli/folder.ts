/**
 * Writes migrations into somebody's folder: each once, with versions after the newest one there. The
 * first line says which migration it is and what its text was, so that the next run recognises it
 * under whatever name, and knows whether it was edited.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Shipped, shippedMigrations, version } from './package.ts';
import { shippedNames } from './shipped.ts';

const MARKER = /^-- pgquota \S+: (\S+\.sql) sha256:([0-9a-f]{64})\r?\n/;

export interface FolderReport {
  written: string[];
  /** Files of this migration in the folder, in the order of `migrations`. */
  files: string[];
  notes: string[];
}

export function addMigrations(
  folder: string,
  migrations: Shipped[],
  now = new Date(),
): FolderReport {
  mkdirSync(folder, { recursive: true });
  const report: FolderReport = { written: [], files: [], notes: [] };
  const files = readPresent(folder);
  for (const migration of migrations) {
    const there = find(files, migration);
    if (there) {
      report.files.push(there.name);
      const note = compare(there, migration);
      if (note) report.notes.push(note);
      continue;
    }
    const name = `${nextVersion(readdirSync(folder), now)}_${slugOf(migration.name)}.sql`;
    const marker = `-- pgquota ${version}: ${migration.name} sha256:${hash(migration.text)}\n`;
    writeFileSync(join(folder, name), marker + migration.text, { flag: 'wx' });
    report.written.push(name);
    report.files.push(name);
  }
  return report;
}

/**
 * What migrations of others create under a name of ours and do not drop or rename again: schema quota,
 * or a function, view or table of schema public.
 */
export function findTakenNames(folder: string): { file: string; what: string }[] {
  const ours = new Set(shippedMigrations().map(({ name }) => slugOf(name)));
  const names = shippedNames();
  const taken = new Map<string, string>();
  for (const file of readdirOf(folder)) {
    const text = readFileSync(join(folder, file), 'utf8');
    if (MARKER.test(text) || ours.has(slugOf(file))) continue;
    for (const [, verb, kind, name] of withoutComments(text).matchAll(STATEMENT)) {
      const what = `${kind?.toLowerCase()} ${name?.replaceAll('"', '').replace(/^public\./i, '')}`;
      const [, bare = ''] = what.split(' ');
      if (!(what === 'schema quota' || (!what.startsWith('schema ') && names.includes(bare))))
        continue;
      if (verb?.toLowerCase() === 'create') taken.set(what, file);
      else taken.delete(what);
    }
  }
  return [...taken].map(([what, file]) => ({ file, what }));
}

/** Verb, kind and name of each statement that makes, drops or renames something by its name. */
const STATEMENT =
  /\b(create|drop)\s+(?:or\s+replace\s+)?(function|view|table|type|schema)\s+(?:if\s+(?:not\s+)?exists\s+)?((?:"?public"?\.)?"?\w+"?)(?![\w".])/gi;

const withoutComments = (sql: string) =>
  sql
    .replace(/--.*$/gm, '')
    .replace(/\balter\s+(\w+)\s+([^\s(;]+)[^;]*?\brename\s+to\b/gi, 'drop $1 $2 ');

const readdirOf = (folder: string) =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith('.sql'))
        .sort()
    : [];

/** Under which names these migrations are in the folder; undefined for each that is not. */
export function present(folder: string, migrations: Shipped[]): (string | undefined)[] {
  const files = readPresent(folder);
  return migrations.map((migration) => find(files, migration)?.name);
}

const find = (files: Present[], { name }: Shipped) =>
  files.find((file) => file.migration === name || file.slug === slugOf(name));

interface Present {
  name: string;
  slug: string;
  migration?: string;
  /** The text's checksum when it was written, and now. */
  written?: string;
  now: string;
}

function readPresent(folder: string): Present[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .map((name) => {
      const text = readFileSync(join(folder, name), 'utf8');
      const marker = MARKER.exec(text);
      const body = marker ? text.slice(marker[0].length) : text;
      return {
        name,
        slug: slugOf(name),
        migration: marker?.[1],
        written: marker?.[2],
        now: hash(body),
      };
    });
}

function compare(there: Present, shipped: Shipped): string | undefined {
  if (there.now === hash(shipped.text)) return;
  if (there.now === there.written) {
    return `${there.name} holds another text than pgquota ${version} ships; it was left as it is`;
  }
  return `${there.name} was edited; it was left as it is`;
}

const slugOf = (name: string) => name.replace(/^\d+_/, '').replace(/\.sql$/, '');

/** Git may have turned the line ends. */
const hash = (text: string) =>
  createHash('sha256').update(text.replaceAll('\r\n', '\n')).digest('hex');

/**
 * The project's own way of counting goes on: seconds (20261125093000) or short numbers (0007). Tools
 * sort by file name, so the newest is the last one as text.
 */
export function nextVersion(names: string[], now: Date): string {
  const present = now.toISOString().replace(/\D/g, '').slice(0, 14);
  const newest = names
    .map((name) => /^(\d+)_.*\.sql$/.exec(name)?.[1])
    .filter((found) => found !== undefined)
    .sort()
    .at(-1);
  if (!newest || (newest.length === present.length && newest < present)) return present;
  return String(BigInt(newest) + 1n).padStart(newest.length, '0');
}
