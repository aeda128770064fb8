import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import LongestFirst from './tests/support/longest-first.ts';

// `npm test` needs Node alone. `npm run test:full` (FULL=1) runs what needs Debian packages besides:
// a browser, the npm registry, pg_prove, pgbouncer, Postgres 15 with plpgsql_check and pg_cron, Redis. A missing one fails that run.
const FULL = [
  'tests/full/**/*.test.ts',
  'tests/browser/**/*.test.ts',
  // npm installs the package's own dependencies: it needs the registry.
  'tests/package/install.test.ts',
  'tests/package/next.test.ts',
  'tests/package/ways.test.ts',
];

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // As in tsconfig.json: the source, not what was built last.
  resolve: {
    alias: [
      { find: /^pgquota\/testing$/, replacement: source('testing/index.ts') },
      { find: /^pgquota\/react$/, replacement: source('react/index.ts') },
      { find: /^pgquota\/pg$/, replacement: source('types/pg.ts') },
      { find: /^pgquota$/, replacement: source('types/index.ts') },
    ],
  },
  test: {
    include: process.env.FULL ? FULL : ['tests/**/*.test.ts'],
    exclude: process.env.FULL ? [] : FULL,
    globalSetup: [
      'tests/support/global-setup.ts',
      ...(process.env.FULL ? ['tests/browser/build-page.ts', 'tests/package/pack.ts'] : []),
    ],
    // How long a failure takes to be one: a busy machine is slow, not wrong.
    expect: { poll: { timeout: 30_000 } },
    reporters: ['default', './tests/support/closing-line.ts'],
    pool: 'forks',
    // Each worker drives dozens of connections and perhaps a PostgREST; more of them only wait.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
