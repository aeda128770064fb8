/** Whoever uses the keyboard, a screen reader, dark mode, or wants no motion. */
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createStandIn } from '../../supabase/functions/_shared/model.ts';
import { type RunningExample, startExample } from '../support/example.ts';
import { amount, launch, open, paywall, row, takeErrors } from './page.ts';

let example: RunningExample;
let browser: Browser;
beforeAll(async () => {
  [example, browser] = await Promise.all([startExample(createStandIn(2)), launch()]);
});
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  expect(takeErrors()).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await example?.stop();
});

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

async function violations(page: Page) {
  await page.addScriptTag({ path: AXE });
  const { violations, passes } = await page.evaluate(() =>
    // biome-ignore lint/suspicious/noExplicitAny: put there by the script above
    (globalThis as any).axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }),
  );
  expect(passes.length).toBeGreaterThan(10);
  return violations.map(
    (one: { id: string; nodes: { html: string; failureSummary: string }[] }) => ({
      id: one.id,
      nodes: one.nodes.map((node) => `${node.html}: ${node.failureSummary}`),
    }),
  );
}

const use = (user: string, units: number) =>
  example.admin.query(`select public.consume_usage('ai_generation', $2, $1)`, [user, units]);

test.for([
  ['light', 1120],
  ['dark', 1120],
  ['light', 320],
  ['dark', 375],
] as const)(
  'axe-core finds nothing: %s, %i pixels wide, page and paywall',
  async ([scheme, width]) => {
    const user = example.newUser();
    await use(user, 40);
    await example.admin.query(`insert into public.kb_files (owner, name) values ($1, 'a.pdf')`, [
      user,
    ]);
    const page = await open(browser, example.url, user, {
      colorScheme: scheme,
      viewport: { width, height: 1000 },
      bypassCSP: true,
      reducedMotion: 'reduce',
    });
    await page.getByText('a.pdf').waitFor();
    expect(await violations(page)).toEqual([]);
    await use(user, 10);
    await page.getByRole('button', { name: 'Generate' }).click();
    await page.getByRole('button', { name: 'Upgrade to Pro' }).waitFor();
    expect(await violations(page)).toEqual([]);
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(wider).toBeLessThanOrEqual(0);
  },
);

test('Tab leads to what can be seen, in the order of reading, and to each once', async () => {
  const user = example.newUser();
  await use(user, 50);
  await example.admin.query(`insert into public.kb_files (owner, name) values ($1, 'a.pdf')`, [
    user,
  ]);
  const page = await open(browser, example.url, user);
  await page.getByText('a.pdf').waitFor();
  await page.getByRole('table', { name: 'AI generations by month' }).waitFor();
  await page.getByRole('form').getByRole('button', { name: 'Upgrade for more' }).waitFor();
  await page.getByRole('link', { name: 'Single sign-on: in Pro' }).waitFor();
  const stops: string[] = [];
  for (;;) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement;
      if (element === document.body) return null;
      const label = (element as HTMLInputElement).labels?.[0]?.innerText;
      const { width, height } = element.getBoundingClientRect();
      if (width < 2 || height < 2 || element.closest('[aria-hidden=true]')) return 'hidden';
      return element.getAttribute('aria-label') ?? label ?? element.innerText;
    });
    if (stop === null || stops.length > 20) break;
    stops.push(stop.replace(/\s+/g, ' '));
  }
  expect(stops).toEqual([
    'Draftwell pgquota’s example',
    user,
    'New user',
    'What about?',
    '5',
    'Generate',
    'Upgrade for more: AI generations',
    'Drafts',
    'Free',
    'Upgrade for more: AI generations',
    'Refresh',
    'Single sign-on: in Pro',
    'Name of the file',
    'Add file',
    'Delete a.pdf',
  ]);
});

test('with the keyboard alone: write, be refused, upgrade, write again', async () => {
  const user = example.newUser();
  await use(user, 49);
  const page = await open(browser, example.url, user);
  const focused = () =>
    page.evaluate(() => {
      const element = document.activeElement as HTMLElement;
      const label = (element as HTMLInputElement).labels?.[0]?.innerText;
      return element.getAttribute('aria-label') ?? label ?? element.innerText;
    });
  const tabTo = async (name: string) => {
    for (let presses = 0; presses < 30; presses++) {
      await page.keyboard.press('Tab');
      if ((await focused()) === name) return;
    }
    throw new Error(`Tab does not lead to ${name}`);
  };

  await tabTo('5');
  await page.keyboard.press('ArrowLeft');
  expect(await focused()).toBe('1');
  await tabTo('Generate');
  await page.keyboard.press('Enter');
  await expect.poll(() => amount(page)).toBe('50 of 50');
  await page.getByRole('button', { name: 'Generate' }).waitFor();

  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Upgrade to Pro' }).waitFor();
  await page.keyboard.press('Escape');
  await paywall(page).waitFor({ state: 'detached' });
  expect(await focused()).toBe('Generate');

  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Upgrade to Pro' }).waitFor();
  await tabTo('Upgrade to Pro');
  const inDialog = () => page.evaluate(() => document.activeElement?.closest('dialog') !== null);
  expect(await inDialog()).toBe(true);
  await page.keyboard.press('Enter');
  await paywall(page).waitFor({ state: 'detached' });
  await expect.poll(() => page.getByTestId('plan').innerText()).toBe('Pro');
  expect(await focused()).toBe('Generate');
  await page.keyboard.press('Enter');
  await expect.poll(() => amount(page)).toBe('1 · ∞');
});

test('what has the focus is marked', async () => {
  const page = await open(browser, example.url, example.newUser());
  for (let presses = 0; presses < 8; presses++) {
    await page.keyboard.press('Tab');
    const outline = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement;
      const marked = element.matches('input[type=radio]') ? element.nextElementSibling : element;
      return getComputedStyle(marked as Element).outlineStyle;
    });
    expect(outline).toBe('solid');
  }
});

test('who wants no motion gets none', async () => {
  const page = await open(browser, example.url, example.newUser(), { reducedMotion: 'reduce' });
  const bar = row(page).locator('.pgquota-used');
  expect(await bar.evaluate((element) => getComputedStyle(element).transitionDuration)).toBe('0s');
});
