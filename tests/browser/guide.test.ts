/** docs/react.md: what it shows is compiled as a strict project would, and used in a browser to the paywall. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildPage } from '../../examples/web/server/prepare.ts';
import { run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { type RunningExample, startExample } from '../support/example.ts';
import { blocksOf } from '../support/page.ts';
import { amount, launch, paywall, row, takeErrors, watchErrors } from './page.ts';

/** What the page leaves to its reader: the client, and where the component stands. */
const REST = {
  'supabase.ts': `
    import { createClient } from '@supabase/supabase-js';
    export const { user, token, anonKey } = (globalThis as unknown as { given: Record<string, string> }).given;
    export const supabase = createClient(location.origin, anonKey as string, { accessToken: async () => token as string });`,
  'main.tsx': `
    import { createRoot } from 'react-dom/client';
    import { user } from './supabase';
    import { Usage } from './usage';
    createRoot(document.getElementById('root') as HTMLElement).render(<Usage user={user as string} />);`,
  'index.html':
    '<!doctype html><html lang="en"><head><title>react.md</title></head><body><div id="root"></div><script type="module" src="./main.tsx"></script></body></html>',
  'vite.config.ts': `import fixture from '../fixture/vite.config.ts';
    export default { ...fixture, base: '/guide/' };`,
  'tsconfig.json': JSON.stringify({
    extends: '../tsconfig.json',
    compilerOptions: { module: 'esnext', moduleResolution: 'bundler' },
    include: ['*.tsx', '*.ts'],
  }),
};

let folder: string;
let example: RunningExample;
let browser: Browser;
beforeAll(async () => {
  folder = mkdtempSync(join(import.meta.dirname, '.run-'));
  const files = { ...REST, 'usage.tsx': blocksOf('docs/react.md')('tsx')[0] as string };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const compile = run(fromRoot('node_modules/.bin/tsc'), ['-p', folder]);
  const ready = Promise.all([startExample(), launch(), buildPage(folder)]);
  [example, browser] = await ready;
  expect(await compile).toEqual({ code: 0, output: '' });
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await browser?.close();
  await example?.stop();
});

test('the indicator follows what is generated, and at the limit the paywall leads to the upgrade', async () => {
  const user = example.newUser();
  const consume = (units: number) =>
    example.admin.query('select allowed from public.consume_usage($1, $2, $3)', [
      'ai_generation',
      units,
      user,
    ]);
  await consume(49);
  const context = await browser.newContext({ locale: 'en-GB' });
  watchErrors(context);
  const page = await context.newPage();
  await page.addInitScript((given) => Object.assign(globalThis, { given }), {
    ...{ user, anonKey: example.anonKey },
    token: await example.userToken(user),
  });
  // The route of the app, which the page does not show.
  await page.route('**/api/generate', async (route) => {
    const { rows } = await consume(1);
    await route.fulfill({ status: rows[0].allowed ? 200 : 402, json: {} });
  });
  await page.route(`${example.url}/guide/**`, async (route) => {
    const path = new URL(route.request().url()).pathname.replace('/guide', '/dist');
    const file = join(folder, path);
    if (!existsSync(file)) return route.abort();
    const types: Record<string, string> = { '.js': 'text/javascript', '.css': 'text/css' };
    await route.fulfill({
      body: readFileSync(file, 'utf8'),
      contentType: types[extname(file)] ?? 'text/html',
    });
  });
  await page.goto(`${example.url}/guide/index.html`);
  await row(page).waitFor();
  expect(await amount(page)).toBe('49 of 50');

  const generate = page.getByRole('button', { name: 'Generate' });
  await generate.click();
  await expect.poll(() => amount(page)).toBe('50 of 50');
  expect(await paywall(page).count()).toBe(0);
  await generate.click();
  await paywall(page).getByRole('link', { name: 'Upgrade to Pro' }).waitFor();
  await page.keyboard.press('Escape');
  await expect.poll(() => paywall(page).count()).toBe(0);
  expect((await example.admin.query('select * from public.verify_usage()')).rows).toEqual([]);
  expect(takeErrors()).toEqual([]);
});
