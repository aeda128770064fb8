// What readers copy: no table of a page or an example may be written by somebody who is not signed in. On
// projects with automatic grants that takes row level security; the tests of the guides look at the tables.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';
import { openTables } from '../support/open-tables.ts';

function pagesBelow(folder: string): string[] {
  return readdirSync(fromRoot(folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return entry.name === 'node_modules' || folder === '.' ? [] : pagesBelow(path);
    }
    return /\.(md|sql)$/.test(entry.name) ? [path] : [];
  });
}

const PAGES = ['.', 'docs', 'examples', 'sql/optional'].flatMap(pagesBelow);
const CREATED = PAGES.flatMap((page) => {
  const text = readFileSync(fromRoot(page), 'utf8');
  return [...text.matchAll(/^\s*create table (?:if not exists )?([\w.]+)/gim)].map(([, name]) => ({
    page,
    name: name as string,
    text,
  }));
});

test('the pages that make tables are found', () => {
  expect(new Set(CREATED.map(({ page }) => page))).toEqual(
    new Set([
      'README.md',
      'docs/alerts.md',
      'docs/entitlements.md',
      'docs/production.md',
      'docs/tables.md',
      'examples/web/sql/example.sql',
    ]),
  );
});

test.for(CREATED)('$page closes $name', ({ name, text }) => {
  expect(text).toContain(`alter table ${name} enable row level security;`);
});

test('the look at tables finds one that is open, and one that a policy opens', async () => {
  const database = await createDatabase();
  try {
    const owner = await database.connect();
    await owner.query(`
      create table public.forgotten (id text);
      create table public.closed (id text);
      alter table public.closed enable row level security;
      create policy own on public.closed to authenticated using (true);
      create table public.opened (id text);
      alter table public.opened enable row level security;
      create policy everybody on public.opened for insert with check (true);`);
    expect(await openTables(owner)).toEqual(['forgotten', 'opened']);
  } finally {
    await database.drop();
  }
});
