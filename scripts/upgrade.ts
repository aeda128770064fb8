/**
 * The migration that turns one release into the next: a state part written by hand, then what is gone, then
 * the full text of what is new or changed, taken from sql/.
 *
 * Two databases say what that is: in one the frozen migrations and the state part were run, in the other
 * sql/ as it is. Tables hold data, so nothing is done to them but what the state part says. In the end a
 * third database, in which the whole was run, must be equal to the second, or there is no migration.
 */
import { withClient } from './local/client.ts';
import type { Throwaway } from './local/throwaway.ts';
import { DOWN, down, UP, upEnds, upgradeBegins } from './markers.ts';
import { compileChanges, newNames, type Objects } from './upgrade/changes.ts';
import { dropOf, withDependents } from './upgrade/drops.ts';
import { statementsOf } from './upgrade/statements.ts';
import { describe, differences } from './verify/describe.ts';

export interface Step {
  from: string;
  to: string;
  /** The migrations that databases out there have run. */
  frozen: string[];
  /** The part written by hand: sql/upgrades/<to>.sql, if there is one. */
  state: string;
  /** All of sql/, as one text. */
  book: string;
}

export async function compileUpgrade(
  server: Pick<Throwaway, 'create'>,
  { from, to, frozen, state, book }: Step,
): Promise<string> {
  const name = `sql/upgrades/${to}.sql`;
  const base = await server.create(`from_${to}`);
  const released = await runAndDescribe(base, frozen);
  const before = state ? await runAndDescribe(base, [state]) : released;
  const after = await runAndDescribe(await server.create(`to_${to}`), [book]);

  const outdated = [...before.keys()].filter((key) => mustGo(key, before, after));
  const drops = await withClient(base, (client) => withDependents(client, outdated));
  for (const key of before.keys()) {
    const isLoose = /^(index|policy|trigger) /.test(key) && !drops.includes(key);
    if (isLoose && before.get(key) !== after.get(key)) drops.unshift(key);
  }
  const text = [
    UP,
    `-- Generated from sql/ by npm run build: what turns ${from} into ${to}. Do not edit.`,
    upgradeBegins(from, to, newNames(released, after)).trim(),
    ...(state ? [`-- ${name}`, state.trim()] : []),
    ...(drops.length
      ? [`-- What is gone, or is made anew below.\n${drops.map(dropOf).join('\n')}`]
      : []),
    '-- What is new or changed.',
    ...compileChanges(statementsOf(book), before, after, drops),
    upEnds(to).trim(),
    "-- PostgREST reads the new functions.\nnotify pgrst, 'reload schema';",
    DOWN,
    down(to),
  ].join('\n\n');
  const proof = await server.create(`proof_${to}`);
  const found = await runAndDescribe(proof, [...frozen, text]).catch((error: Error) => error);
  const left = found instanceof Error ? [found.message] : differences(after, found);
  if (left.length) {
    throw new Error(
      `the upgrade does not give what sql/ gives: what becomes of tables, columns and constraints, and of functions that an app may replace, is written by hand in ${name}\n${left.join('\n')}`,
    );
  }
  return text;
}

const runAndDescribe = (url: string, texts: string[]): Promise<Objects> =>
  withClient(url, async (client) => {
    for (const text of texts) await client.query(text);
    return describe(client);
  });

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
