/** What needs more than Node: Chromium (Debian's) and Deno (from npm). */
import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

const full = mergeConfig(
  base,
  defineConfig({ test: { testTimeout: 60_000, expect: { poll: { timeout: 10_000 } } } }),
);
full.test.include = ['tests/browser/**/*.test.ts'];
full.test.exclude = [];
full.test.globalSetup = [base.test?.globalSetup, 'tests/browser/build-page.ts'].flat();
export default full;
