/** sql/ is a book: its contents page names every file, and none is longer than one reads in one go. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';

const files = readdirSync(fromRoot('sql'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.sql'))
  .map((name) => name.replaceAll('\\', '/'));
const read = (name: string) => readFileSync(join(fromRoot('sql'), name), 'utf8');

/** Lines that are allowed all the same; these may only become fewer. */
const LONGER: Record<string, number> = {
  'rule/limits_of.sql': 275,
};
/** Written by npm run build. */
const GENERATED = ['names.sql', 'release.sql'];

test('no file of sql/ is longer than 250 lines', () => {
  const long = files
    .filter((name) => !GENERATED.includes(name))
    .map((name) => ({ name, lines: read(name).trimEnd().split('\n').length }))
    .filter(({ name, lines }) => lines > (LONGER[name] ?? 250));
  expect(long).toEqual([]);
});

test('the contents page names every file once, but for what is installed by itself', () => {
  const named = [...read('pgquota.sql').matchAll(/^\\ir (\S+)$/gm)].map((match) => match[1]);
  const alone = [
    'pgquota.sql',
    'roles.sql',
    ...files.filter((name) => name.startsWith('optional/')),
  ];
  expect(named.toSorted()).toEqual(files.filter((name) => !alone.includes(name)).toSorted());
});
