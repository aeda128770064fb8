// What npm shows and publishes: the fields of the package, README's links on the package page, what the tarball
// holds of the sources, and the workflow that publishes.
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';

const read = (path: string) => readFileSync(fromRoot(path), 'utf8');
const manifest = JSON.parse(read('package.json'));
const [, repository] =
  /^git\+(https:\/\/github\.com\/[\w-]+\/[\w-]+)\.git$/.exec(manifest.repository.url) ?? [];

/** What a visitor of the repository finds, folders too: all but what .gitignore names. */
const kept = new Set<string>();
function walk(folder: string): void {
  for (const entry of readdirSync(fromRoot(folder), { withFileTypes: true })) {
    if (/^(\.git|\.pgquota|node_modules|dist|\.env|\.run-.*|.*\.log)$/.test(entry.name)) continue;
    const path = posix.join(folder, entry.name);
    kept.add(path);
    if (entry.isDirectory()) walk(path);
  }
}
walk('.');

test('the package says where it comes from', () => {
  expect(repository).toBeDefined();
  expect(manifest.homepage).toBe(`${repository}#readme`);
  expect(manifest.bugs).toBe(`${repository}/issues`);
});

test("README's links resolve on the package page: npm puts the repository before them", () => {
  const links = [...read('README.md').matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
  const dead = links.filter((link) => {
    if (/^(https:|#)/.test(link)) return false;
    const { pathname } = new URL(link, `${repository}/blob/HEAD/`);
    const path = pathname.split('/blob/HEAD/')[1];
    return !path || !kept.has(path.replace(/\/$/, ''));
  });
  expect(links.length).toBeGreaterThan(20);
  expect(dead).toEqual([]);
});

/** What every page shows, images and tags of HTML included. */
test('no page leads to what is not in the repository: examples and their files too', () => {
  const dead: string[] = [];
  for (const page of [...kept].filter((path) => /\.md$/.test(path))) {
    const links = read(page).matchAll(/\]\(([^)\s]+)\)|\b(?:src|srcset|href)="([^"]+)"/g);
    for (const [, one, other] of links) {
      const [link = ''] = (one ?? other ?? '').split('#');
      if (!link || /^(https?:|mailto:|\/|\$)/.test(link)) continue;
      if (!kept.has(posix.join(posix.dirname(page), link).replace(/\/$/, '')))
        dead.push(`${page}: ${link}`);
    }
  }
  expect(dead).toEqual([]);
});

test('what is packed of the sources is all that the command and the pages need of them', () => {
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: fromRoot('.'),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  );
  const files: string[] = packed.files.map((file: { path: string }) => file.path);
  const sources = files.filter((path) => !path.startsWith('dist/'));
  // Nothing that a checkout would not have: no leftovers, no keys.
  expect(sources.filter((path) => !kept.has(path))).toEqual([]);
  const wanted = [...kept].filter((path) =>
    /^(LICENSE|README\.md|package\.json|react\/[\w-]+\.(css|tsx)|schema\/\w+\.schema\.json|sql\/roles\.sql|sql\/optional\/\w+\.sql|supabase\/migrations\/\w+\.sql)$/.test(
      path,
    ),
  );
  expect(sources.sort()).toEqual(wanted.sort());
});

test('the workflow that publishes pins what it runs, signs, and runs only scripts that exist', () => {
  const workflow = read('.github/workflows/publish.yml');
  const actions = [...workflow.matchAll(/uses: (\S+)(.*)/g)];
  expect(actions.length).toBeGreaterThan(1);
  for (const [, action, comment] of actions) {
    expect(action).toMatch(/@[0-9a-f]{40}$/);
    expect(comment).toMatch(/^ # v\d+\.\d+\.\d+$/);
  }
  expect(workflow).toMatch(/^permissions: \{\}$/m);
  expect(workflow).toMatch(/id-token: write/);
  expect(workflow).toMatch(/npm publish --provenance/);
  expect(workflow).not.toMatch(/secrets\./);
  for (const [, script = ''] of workflow.matchAll(/npm run (\w+)/g))
    expect(manifest.scripts).toHaveProperty(script);

  const [, check = ''] = /name: The tag is the version\n\s+run: (.*)/.exec(workflow) ?? [];
  const tagged = (tag: string) =>
    spawnSync('bash', ['-e', '-c', check], {
      cwd: fromRoot('.'),
      env: { ...process.env, GITHUB_REF_NAME: tag },
    }).status;
  expect([tagged(`v${manifest.version}`), tagged('v99.0.0'), tagged('main')]).toEqual([0, 1, 1]);
});
