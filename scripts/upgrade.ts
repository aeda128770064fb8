/**
 * The migration that turns one release into the next: a state part written by hand, then what is gone, then
 * the full text of what is new or changed, taken from sql/.
 *
 * Two databases say what that is: in one the frozen migrations and the state part were run, in the other
 * sql/ as it is. Tables hold data, so nothing is done to them but what the state part says. In the end a
 * third database, in which the whole was run, must be equal to the second, or there is no migration.
 */
import { existsSync, readFileSync } from 'node:fs';
import { withClient } from './local/client.ts';
import { fromRoot } from './local/project.ts';
import type { Throwaway } from './local/throwaway.ts';
import { DOWN, down, UP, upEnds, upgradeBegins } from './markers.ts';
import { type Release, textOf } from './releases.ts';
import { dropOf, withDependents } from './upgrade/drops.ts';
import { type Statement, statementsOf } from './upgrade/statements.ts';
import { describe, differences } from './verify/describe.ts';

type Objects = Map<string, string>;

/** Functions that an app may have put its own in place of; no upgrade overwrites them. */
export const REPLACEABLE = ['quota.acts_for', 'quota.subjects_of', 'quota.sees_members'];

/** `book` is the text of sql/. */
export async function compileUpgrade(
  server: Pick<Throwaway, 'create'>,
  frozen: Release[],
  version: string,
  book: string,
): Promise<string> {
  const from = frozen.at(-1) as Release;
  const name = `sql/upgrades/${version}.sql`;
  const state = existsSync(fromRoot(name)) ? readFileSync(fromRoot(name), 'utf8').trim() : '';
  const base = await server.create('upgrade_from');
  const before = await withClient(base, async (client) => {
    for (const release of frozen) await client.query(textOf(release));
    if (state) await client.query(state);
    return describe(client);
  });
  const after = await withClient(await server.create('upgrade_to'), async (client) => {
    await client.query(book);
    return describe(client);
  });

  const outdated = [...before.keys()].filter((key) => mustGo(key, before, after));
  const drops = await withClient(base, (client) => withDependents(client, outdated));
  for (const key of before.keys()) {
    const isLoose = /^(index|policy) /.test(key) && !drops.includes(key);
    if (isLoose && before.get(key) !== after.get(key)) drops.unshift(key);
  }
  const text = [
    UP,
    `-- Generated from sql/ by npm run build: what turns ${from.version} into ${version}. Do not edit.`,
    upgradeBegins(from.version, version, newNames(before, after)).trim(),
    ...(state ? [`-- ${name}`, state] : []),
    ...(drops.length
      ? [`-- What is gone, or is made anew below.\n${drops.map(dropOf).join('\n')}`]
      : []),
    '-- What is new or changed.',
    ...compileChanges(statementsOf(book), before, after, drops),
    upEnds(version).trim(),
    "-- PostgREST reads the new functions.\nnotify pgrst, 'reload schema';",
    DOWN,
    down(version),
  ].join('\n\n');
  await prove(await server.create('upgrade_proof'), [...frozen.map(textOf), text], after, name);
  return text;
}

/** A function whose arguments or result differ, a view or type that lost, moved or changed a column. */
function mustGo(key: string, before: Objects, after: Objects): boolean {
  const [, kind, object] = /^(function|view|type) (.*)$/.exec(key) ?? [];
  if (!kind) return false;
  const now = after.get(key);
  if (now === undefined) return true;
  if (kind === 'function') return headOf(before.get(key)) !== headOf(now);
  return [...before.keys()].some(
    (column) =>
      column.startsWith(`column ${object}.`) && placeOf(before, column) !== placeOf(after, column),
  );
}

/** From the name to the result. */
const headOf = (text = '') => /^CREATE OR REPLACE [\s\S]*?(?=^ LANGUAGE )/m.exec(text)?.[0];

/** Place, type and collation. */
const placeOf = (objects: Objects, column: string) =>
  objects.get(column)?.split('\n').slice(0, 3).join();

const withoutArguments = (key: string) => key.replace(/^(function [\w.]+)\(.*$/, '$1');

function compileChanges(
  statements: Statement[],
  before: Objects,
  after: Objects,
  drops: string[],
): string[] {
  const isThere = (key: string) => before.has(key) && !drops.includes(key);
  const changed = [...after.keys()].filter(
    (key) => before.get(key) !== after.get(key) || drops.includes(key),
  );
  const touched = new Set(
    changed
      .map(withoutArguments)
      .filter(
        (key) =>
          !REPLACEABLE.includes(key.slice(9)) ||
          ![...before.keys()].some((old) => old.startsWith(`${key}(`)),
      ),
  );
  const named = new Set([...touched].map((key) => /[\w]+\.\w+/.exec(key)?.[0]));

  return statements.flatMap(({ text, verb, object = '', names }) => {
    const isTouched = touched.has(object);
    switch (verb) {
      case 'create':
        if (!isTouched) return [];
        if (object.startsWith('table ') && isThere(object)) return [];
        if (object.startsWith('type ') && isThere(object))
          return added(object.slice(5), before, after);
        return [text.replace(/^create (?=function|view)/m, 'create or replace ')];
      case 'comment':
        return isTouched ? [text] : [];
      case 'grant':
      case 'revoke':
        return isTouched || names.some((name) => named.has(name)) ? [text] : [];
      case 'alter':
        if (!isThere(object) || /^alter table [\w.]+\s+(enable row|alter )/m.test(text)) {
          return names.some((name) => named.has(name)) ? [text] : [];
        }
        return [];
      case 'insert':
        return isTouched && !isThere(object) ? [text] : [];
      // What a fresh installation looks at, and what is said once at the end.
      case 'do':
      case 'notify':
        return [];
      default:
        throw new Error(`no upgrade knows what to do with this statement of sql/:\n${text}`);
    }
  });
}

const added = (type: string, before: Objects, after: Objects) =>
  [...after.keys()]
    .filter((key) => key.startsWith(`column ${type}.`) && !before.has(key))
    .sort(
      (a, b) => Number.parseInt(after.get(a) ?? '', 10) - Number.parseInt(after.get(b) ?? '', 10),
    )
    .map(
      (key) =>
        `alter type ${type} add attribute "${key.slice(`column ${type}.`.length)}" ${after.get(key)?.split('\n')[1]};`,
    );

/** Names of schema public that the release before did not need. */
const newNames = (before: Objects, after: Objects) =>
  [
    ...new Set(
      [...after.keys()]
        .filter((key) => /^(function|view|type) public\./.test(key))
        .map(withoutArguments),
    ),
  ]
    .filter((key) => ![...before.keys()].some((old) => withoutArguments(old) === key))
    .map((key) => key.replace(/^\w+ public\./, ''));

async function prove(url: string, texts: string[], after: Objects, name: string): Promise<void> {
  const found = await withClient(url, async (client) => {
    for (const text of texts) await client.query(text);
    return describe(client);
  });
  const left = differences(after, found);
  if (!left.length) return;
  throw new Error(
    `the upgrade gives another database than sql/: what happens to tables, columns and constraints, and to functions that an app may replace, is written by hand in ${name}\n${left.join('\n')}`,
  );
}
