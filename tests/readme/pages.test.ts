// Pages lead somewhere: links to files and headings, npm scripts and paths that a page names, and what
// .gitattributes says is generated.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';

const read = (path: string) => readFileSync(fromRoot(path), 'utf8');

function filesBelow(folder: string, is: RegExp): string[] {
  return readdirSync(fromRoot(folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return /^(\.git|\.pgquota|node_modules|dist)$/.test(entry.name) ? [] : filesBelow(path, is);
    }
    return is.test(entry.name) ? [path] : [];
  });
}

/** As GitHub makes them. */
const anchorsOf = (page: string) =>
  [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

const PAGES = filesBelow('.', /\.md$/);

test('the pages are found', () => {
  expect(PAGES).toEqual(
    expect.arrayContaining([
      'README.md',
      'CONTRIBUTING.md',
      'SECURITY.md',
      'sql/README.md',
      'tests/README.md',
    ]),
  );
});

test.for(PAGES)('%s links to what is there', (page) => {
  const links = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link as string);
  const dead = links.filter((link) => {
    if (/^(https?|mailto):/.test(link)) return false;
    const [path, anchor] = link.split('#');
    const target = path ? join(dirname(page), path) : page;
    if (!existsSync(fromRoot(target))) return true;
    return Boolean(anchor) && !anchorsOf(target).includes(anchor as string);
  });
  expect(dead).toEqual([]);
});

test.for(PAGES)('%s names npm scripts that exist', (page) => {
  const { scripts } = JSON.parse(read('package.json'));
  const named = [...read(page).matchAll(/\bnpm run ([\w:]+)/g)].map(([, name]) => name as string);
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});

test.for(['tests/README.md', 'SECURITY.md'])('%s names suites that exist', (page) => {
  const named = [...read(page).matchAll(/`([a-z]+\/[\w./-]*)`/g)].map(([, name]) => name as string);
  const missing = named.filter(
    (name) =>
      !['', '.test.ts', '.test.sql'].some((end) => existsSync(fromRoot(`tests/${name}${end}`))),
  );
  expect(missing.filter((name) => !existsSync(fromRoot(name)))).toEqual([]);
});

test('tests/README.md names every suite, or its folder', () => {
  const text = read('tests/README.md');
  const suites = filesBelow('tests', /\.test\.(ts|sql)$/).map((path) =>
    path.replace(/^tests\//, '').replace(/\.test\.(ts|sql)$/, ''),
  );
  const unnamed = suites.filter((suite) => {
    const folder = `${suite.split('/')[0]}/`;
    return !text.includes(`\`${suite}\``) && !text.includes(`\`${folder}\``);
  });
  expect(unnamed).toEqual([]);
});

test('.gitattributes marks what is generated, and nothing else', () => {
  const marked = read('.gitattributes')
    .split('\n')
    .filter((line) => line.endsWith(' linguist-generated'))
    .map((line) => line.split(' ')[0] as string);
  const isMarked = (path: string) =>
    marked.some((pattern) => path === pattern || `${dirname(path)}/*.sql` === pattern);
  const sources = ['sql', 'supabase', 'types'].flatMap((folder) =>
    filesBelow(folder, /\.(sql|ts)$/),
  );
  const generated = sources.filter((path) =>
    /^(-- migrate:up\n\n)?(--|\/\/) Generated /.test(read(path)),
  );
  expect(sources.filter(isMarked)).toEqual(generated);
});
