import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type RunningExample, startExample } from '../support/example.ts';
import { amount, launch, open, row, signedIn, takeErrors } from './page.ts';

let example: RunningExample;
let browser: Browser;
beforeAll(async () => {
  [example, browser] = await Promise.all([startExample(), launch()]);
});
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  expect(takeErrors()).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await example?.stop();
});

const ASKED = '**/rest/v1/current_usage**';

test('a meter tells a screen reader what it shows: used, reserved, extra, and the reset', async () => {
  const user = example.newUser();
  await example.admin.query(`select public.grant_usage('ai_generation', 20, $1)`, [user]);
  await example.admin.query(`select public.consume_usage('ai_generation', 30, $1)`, [user]);
  await example.admin.query(`select public.reserve_usage('ai_generation', 5, $1)`, [user]);
  const page = await open(browser, example.url, user);
  const meter = page.getByRole('meter', { name: 'AI generations per month' });
  expect(await meter.getAttribute('aria-valuenow')).toBe('35');
  expect(await meter.getAttribute('aria-valuemax')).toBe('70');
  expect(await meter.getAttribute('aria-valuetext')).toMatch(
    /^30 of 70 generations used, 5 reserved, 20 extra, does not reset, resets 1 \w+, 00:00 UTC(, at this pace .*)?$/,
  );
});

test('the reset is told in the zone of the subject, wherever it is looked at', async () => {
  const user = example.newUser();
  await example.admin.query(`select public.set_plan($1, 'free', time_zone => 'Europe/Berlin')`, [
    user,
  ]);
  const page = await open(browser, example.url, user, { timezoneId: 'America/Los_Angeles' });
  expect(await row(page).innerText()).toMatch(/resets 1 \w+, 00:00 (CES?T|GMT\+[12])/);
});

test.for([
  [39, 'ok'],
  [40, 'warning'],
  [50, 'at_limit'],
] as const)('%i of 50 is %s, in colour and in words', async ([used, status]) => {
  const user = example.newUser();
  await example.admin.query(`select public.consume_usage('ai_generation', $2, $1)`, [user, used]);
  const page = await open(browser, example.url, user);
  expect(await row(page).getAttribute('data-status')).toBe(status);
  const words = { ok: 0, warning: 'Nearly used up', at_limit: 'Limit reached' }[status];
  const badge = row(page).locator('.pgquota-badge');
  expect(words === 0 ? await badge.count() : await badge.innerText()).toBe(words);
  const colours = {
    ok: 'rgb(63, 91, 216)',
    warning: 'rgb(138, 90, 0)',
    at_limit: 'rgb(179, 38, 30)',
  };
  expect(
    await row(page)
      .locator('.pgquota-used')
      .evaluate((bar) => getComputedStyle(bar).backgroundColor),
  ).toBe(colours[status]);
});

test('asks once a minute and on focus, not more; and not while nobody looks', async () => {
  const user = example.newUser();
  const context = await browser.newContext({ storageState: signedIn(example.url, user) });
  const page = await context.newPage();
  let asked = 0;
  page.on('request', (request) => {
    if (request.url().includes('/current_usage')) asked++;
  });
  await page.clock.install();
  await page.goto(example.url);
  await row(page).waitFor();
  const first = asked;
  await page.clock.runFor(50_000);
  expect(asked).toBe(first);
  await page.clock.runFor(11_000);
  await expect.poll(() => asked).toBe(first + 1);
  await page.evaluate(() => window.dispatchEvent(new Event('focus')));
  await expect.poll(() => asked).toBe(first + 2);

  await page.evaluate(() =>
    Object.defineProperty(document, 'visibilityState', { get: () => 'hidden', configurable: true }),
  );
  await page.clock.runFor(200_000);
  expect(asked).toBe(first + 2);
  await page.evaluate(() => {
    Reflect.deleteProperty(document, 'visibilityState');
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await expect.poll(() => asked).toBe(first + 3);
});

test('a late answer to an older question does not replace a newer one', async () => {
  const user = example.newUser();
  const page = await open(browser, example.url, user);
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let calls = 0;
  await page.route(ASKED, async (route) => {
    if (++calls > 1) return route.continue();
    const response = await route.fetch();
    await held;
    await route.fulfill({ response });
  });
  const refresh = () => page.evaluate(() => window.dispatchEvent(new Event('focus')));
  await refresh();
  await expect.poll(() => calls).toBe(1);
  await example.admin.query(`select public.consume_usage('ai_generation', 3, $1)`, [user]);
  await refresh();
  await expect.poll(() => amount(page)).toBe('3 of 50');
  const late = page.waitForResponse(ASKED);
  release();
  await late;
  expect(await amount(page)).toBe('3 of 50');
});

test('without an answer it says so, keeps the numbers, and can be asked again', async () => {
  const user = example.newUser();
  const page = await open(browser, example.url, user);
  await page.route(ASKED, (route) => route.abort());
  await page.evaluate(() => window.dispatchEvent(new Event('focus')));
  await page.getByText('These numbers may be out of date.').waitFor();
  expect(await amount(page)).toBe('0 of 50');
  await page.unroute(ASKED);
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText(/^As of /).waitFor();
});

test('loading keeps the space: nothing on the page moves when the numbers come', async () => {
  const user = example.newUser();
  const context = await browser.newContext({
    viewport: { width: 1120, height: 1000 },
    storageState: signedIn(example.url, user),
  });
  const page = await context.newPage();
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route(ASKED, async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(example.url);
  const indicator = page.getByRole('region', { name: 'Usage', exact: true });
  await page.getByText('Loading usage …').waitFor();
  expect(await indicator.getAttribute('aria-busy')).toBe('true');
  const before = await indicator.boundingBox();
  release();
  await row(page).waitFor();
  expect(await indicator.getAttribute('aria-busy')).toBe('false');
  expect(await indicator.boundingBox()).toEqual(before);
});
