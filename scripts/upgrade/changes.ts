/** Which statements of sql/ an upgrade repeats: those of what is new, and of what differs and can be replaced. */
import type { Statement } from './statements.ts';

/** What describe() found. */
export type Objects = Map<string, string>;

/** Functions that an app may have put its own in place of; no upgrade overwrites them. */
export const REPLACEABLE = ['quota.acts_for', 'quota.subjects_of', 'quota.sees_members'];

const withoutArguments = (key: string) => key.replace(/^(function [\w.]+)\(.*$/, '$1');

/** Of the statements of sql/, in their order, those that make `before` what `after` is, once the drops are done. */
export function compileChanges(
  statements: Statement[],
  before: Objects,
  after: Objects,
  drops: string[],
): string[] {
  const isThere = (key: string) => before.has(key) && !drops.includes(key);
  const anew = drops.map((key) => key.replace(/^(view|type) /, 'column '));
  const changed = [...after.keys()].filter(
    (key) =>
      before.get(key) !== after.get(key) ||
      drops.includes(key) ||
      anew.some((dropped) => key.startsWith(`${dropped}.`)),
  );
  const known = new Set([...before.keys()].map(withoutArguments));
  const ofApps = REPLACEABLE.map((name) => `function ${name}`).filter((key) => known.has(key));
  const touched = new Set(changed.map(withoutArguments).filter((key) => !ofApps.includes(key)));
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
      // One page, that begins with taking all of it away.
      case 'grant':
      case 'revoke':
        return [text];
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
export function newNames(before: Objects, after: Objects): string[] {
  const namesOf = (objects: Objects) =>
    [...objects.keys()].flatMap(
      (key) => /^(?:function|view|type) public\.(\w+)/.exec(key)?.[1] ?? [],
    );
  const known = namesOf(before);
  return [...new Set(namesOf(after))].filter((name) => !known.includes(name));
}
