/** The parts of pgquota/react on a page of their own: two users after each other, resets, small screens. */
import { existsSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { CurrentUsage } from 'pgquota';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { createElement } from 'react';
import { renderToString } from 'react-dom/server';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { connectSupabase } from '../../scripts/local/supabase.ts';
import { setClock } from '../support/clock.ts';
import { type RunningExample, startExample } from '../support/example.ts';
import type { Given } from './fixture/main.tsx';
import { Page as PageOfParts } from './fixture/page.tsx';
import { amount, launch, paywall, row, takeErrors, watchErrors } from './page.ts';

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

const use = (user: string, units: number, feature = 'ai_generation') =>
  example.admin.query(`select public.consume_usage($3, $2, $1)`, [user, units, feature]);

async function openFixture(
  given: Omit<Given, 'anonKey'>,
  options: BrowserContextOptions & {
    html?: string;
    before?: (page: Page) => Promise<unknown>;
  } = {},
): Promise<Page> {
  const { html, before, ...rest } = options;
  const context = await browser.newContext({ locale: 'en-GB', ...rest });
  watchErrors(context);
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  await before?.(page);
  await page.addInitScript((all) => Object.assign(globalThis, { given: all }), {
    ...given,
    anonKey: example.anonKey,
  });
  await page.route(`${example.url}/fixture/**`, async (route) => {
    const { pathname } = new URL(route.request().url());
    const file = fromRoot(`tests/browser${pathname.replace('/fixture', '/fixture/dist')}`);
    if (!existsSync(file)) return route.abort();
    const text = readFileSync(file, 'utf8');
    const body = html ? text.replace('<div id="root">', `<div id="root">${html}`) : text;
    const types: Record<string, string> = { '.js': 'text/javascript', '.css': 'text/css' };
    await route.fulfill({ body, contentType: types[extname(file)] ?? 'text/html' });
  });
  await page.goto(`${example.url}/fixture/index.html`);
  return page;
}

const first = async (user: string) => ({ user, token: await example.userToken(user) });

describe('two users after each other, on one client', () => {
  test('when the page says who it is: nothing of the former is shown, nor a late answer to it', async () => {
    const [ada, bob] = [example.newUser(), example.newUser()];
    await use(ada, 41);
    await use(bob, 7);
    const page = await openFixture({ mode: 'user', first: await first(ada) });
    await row(page).waitFor();
    expect(await amount(page)).toBe('41 of 50');

    // The answers are held back: the former user's last one, and the new user's first.
    const answers: (() => void)[] = [];
    await page.route('**/rest/v1/current_usage**', async (route) => {
      const response = await route.fetch();
      await new Promise<void>((resolve) => answers.push(resolve));
      await route.fulfill({ response });
    });
    await page.evaluate(() => window.dispatchEvent(new Event('focus')));
    await expect.poll(() => answers.length).toBe(1);
    const token = await example.userToken(bob);
    await page.evaluate(([user, its]) => globalThis.signIn(user as string, its as string), [
      bob,
      token,
    ] as const);
    await page.getByText('Loading usage …').waitFor();
    expect(await row(page).count()).toBe(0);
    await expect.poll(() => answers.length).toBe(2);
    const late = page.waitForResponse('**/rest/v1/current_usage**');
    answers[0]?.();
    await late;
    await page.getByText('Loading usage …').waitFor();
    expect(await page.content()).not.toContain('41 of 50');
    answers[1]?.();
    await expect.poll(() => amount(page)).toBe('7 of 50');

    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.evaluate(() => globalThis.signIn(null, ''));
    await expect.poll(() => row(page).count()).toBe(0);
    await expect.poll(() => page.getByTestId('plan').innerText()).toBe('nobody');
  });

  test('when Supabase Auth says who it is: signing in, as another, and out empties the page', async () => {
    const [ada, bob] = [example.newUser(), example.newUser()];
    await use(ada, 41);
    await use(bob, 7);
    const page = await openFixture(
      { mode: 'sessions' },
      {
        // In place of an auth server: says whose token it is.
        before: (page) =>
          page.route('**/auth/v1/**', async (route) => {
            const token = route.request().headers().authorization?.split('.')[1] ?? '';
            const { sub } = JSON.parse(Buffer.from(token, 'base64url').toString() || '{}');
            await route.fulfill({ json: { id: sub, aud: 'authenticated', email: `${sub}@x.io` } });
          }),
      },
    );
    await expect.poll(() => page.getByTestId('plan').innerText()).toBe('nobody');
    const signIn = (token: string) =>
      page.evaluate(
        (access_token) =>
          globalThis.supabase.auth.setSession({ access_token, refresh_token: 'none' }),
        token,
      );
    await signIn(await example.userToken(ada));
    await expect.poll(() => amount(page)).toBe('41 of 50');
    await signIn(await example.userToken(bob));
    await expect.poll(() => amount(page)).toBe('7 of 50');
    await page.evaluate(() => globalThis.supabase.auth.signOut({ scope: 'local' }));
    await expect.poll(() => row(page).count()).toBe(0);
  });
});

test('a hold that ends is noticed by itself, within seconds', async () => {
  const user = example.newUser();
  const { rows } = await example.admin.query(
    `select (public.reserve_usage('ai_generation', 10, $1)).reservation_id as id`,
    [user],
  );
  const page = await openFixture({ mode: 'user', first: await first(user) });
  await expect.poll(() => row(page).innerText()).toMatch(/10 reserved/);
  await example.admin.query('select public.commit_usage($1, 4, $2)', [rows[0].id, user]);
  await expect.poll(() => amount(page), { timeout: 20_000 }).toBe('4 of 50');
  expect(await row(page).innerText()).not.toMatch(/reserved/);
});

test('a period that ends while the paywall is open: it goes away, and the numbers start again', async () => {
  const user = example.newUser();
  const end = new Date();
  end.setUTCMonth(end.getUTCMonth() + 1, 1);
  end.setUTCHours(0, 0, 0, 0);
  const soon = end.getTime() - 6000;
  await setClock(example.admin, { offset: `${soon - Date.now()} milliseconds` });
  try {
    await use(user, 50);
    const page = await openFixture(
      { mode: 'user', first: await first(user) },
      { before: (page) => page.clock.install({ time: soon }) },
    );
    await expect.poll(() => amount(page)).toBe('50 of 50');
    await page.getByRole('button', { name: 'More' }).click();
    await expect.poll(() => paywall(page).innerText()).toMatch(/used 50 of 50 this month/);
    await paywall(page).waitFor({ state: 'detached' });
    expect(await page.getByTestId('why').innerText()).toBe('room');
    await expect.poll(() => amount(page)).toBe('0 of 50');
  } finally {
    await setClock(example.admin, { offset: '0' });
  }
});

describe('where use is going', () => {
  /** Noon of the fourth day after half of the month: what follows is told from there. */
  const middle = new Date();
  middle.setUTCDate(16);
  middle.setUTCHours(0, 0, 0, 0);
  const notes = async (page: Page, feature = 'ai_generation') =>
    (await row(page, feature).locator('.pgquota-notes').innerText()).split(' · ');
  const at = async (time: Date | number) =>
    setClock(example.admin, { offset: `${Number(time) - Date.now()} milliseconds` });
  const back = () => setClock(example.admin, { offset: '0' });

  test('is told in plain words: when it will be used up, else what it comes to; too little says nothing', async () => {
    const user = example.newUser();
    await at(middle);
    try {
      await use(user, 40);
      await use(user, 4, 'export');
      await example.admin.query(`select public.set_limit($1, 'export', 'day', 30)`, [user]);
      const page = await openFixture({ mode: 'user', first: await first(user) });
      await row(page).waitFor();
      // 40 in 15 days: the last 10 in 3.75 more.
      const day = new Date(middle.getTime() + 3.75 * 86_400_000).toLocaleString('en-GB', {
        ...{ day: 'numeric', month: 'long', timeZone: 'UTC' },
      });
      expect((await notes(page)).at(-1)).toBe(`at this pace used up on ${day}`);
      expect(
        await page
          .getByRole('meter', { name: 'AI generations per month' })
          .getAttribute('aria-valuetext'),
      ).toMatch(
        new RegExp(`^40 of 50 generations used, resets .*, at this pace used up on ${day}$`),
      );
      // Four are too few to say anything of; a gauge has no pace.
      expect(await row(page, 'export').first().innerText()).not.toMatch(/pace/);
      expect(await row(page, 'kb_file').innerText()).not.toMatch(/pace/);

      await example.admin.query(`select public.set_plan($1, 'pro')`, [user]);
      await page.getByRole('button', { name: 'Refresh' }).click();
      await expect.poll(() => amount(page)).toBe('40 · ∞');
      const days = new Date(
        Date.UTC(middle.getUTCFullYear(), middle.getUTCMonth() + 1, 0),
      ).getUTCDate();
      expect((await notes(page)).at(-1)).toBe(
        `at this pace about ${Math.round((40 * days) / 15)} by then`,
      );
      await example.admin.query(`select public.set_plan($1, 'free')`, [user]);
      await use(user, 10);
      await page.getByRole('button', { name: 'Refresh' }).click();
      await expect.poll(() => row(page).innerText()).toMatch(/Limit reached/);
      expect(await row(page).innerText()).not.toMatch(/pace/);
    } finally {
      await back();
    }
  });

  test('and of a day by its clock, in the zone of the subject', async () => {
    const user = example.newUser();
    await example.admin.query(
      `select public.set_plan($1, 'pro', time_zone => 'Asia/Tokyo'),
         public.set_limit($1, 'export', 'day', 30)`,
      [user],
    );
    // Noon in Tokyo.
    await at(middle.getTime() + 3 * 3_600_000);
    try {
      await use(user, 20, 'export');
      const page = await openFixture({ mode: 'user', first: await first(user) });
      const daily = page.locator('[data-feature=export][data-period=day]');
      await expect
        .poll(() => daily.innerText())
        .toMatch(/at this pace used up on 16 \w+, 18:00 GMT\+9/);
    } finally {
      await back();
    }
  });
});

test('a switch and a value are those of the plan, of who is signed in, and as they are now', async () => {
  const [ada, bob] = [example.newUser(), example.newUser()];
  await use(ada, 1);
  const asked: string[] = [];
  const page = await openFixture(
    { mode: 'user', first: await first(ada), has: ['sso', 'max_context', 'unheard_of'] },
    {
      before: async (page) => {
        page.on('request', (request) => {
          if (request.url().includes('/entitlements')) asked.push(request.url());
        });
      },
    },
  );
  const shown = () =>
    page
      .locator('[data-has]')
      .evaluateAll((all) => all.map((one) => JSON.parse((one as HTMLElement).innerText)));
  const free = [
    [false, null, true],
    [true, 8000, true],
    [false, null, true],
  ];
  await expect.poll(shown).toEqual(free);
  expect(asked, 'three that ask the same are one question').toHaveLength(1);

  // An override, an upgrade, and what ends by itself: as of the next look.
  const refresh = () => page.getByRole('button', { name: 'Refresh' }).click();
  await example.admin.query(`select public.set_value($1, 'max_context', '0')`, [ada]);
  await refresh();
  await expect.poll(async () => (await shown())[1]).toEqual([true, 0, true]);
  await example.admin.query(`select public.set_plan($1, 'pro')`, [ada]);
  await example.admin.query(
    `select public.set_value($1, 'sso', 'false', now() + interval '1 hour')`,
    [ada],
  );
  await refresh();
  await expect.poll(() => page.getByTestId('plan').innerText()).toBe('pro');
  expect((await shown())[0]).toEqual([false, false, true]);
  await setClock(example.admin, { offset: '1 hour 1 second' });
  try {
    await page.evaluate(() => window.dispatchEvent(new Event('focus')));
    await expect.poll(async () => (await shown())[0]).toEqual([true, true, true]);
  } finally {
    await setClock(example.admin, { offset: '0' });
  }

  // Without an answer it says so, and what was known stays.
  await page.route('**/rest/v1/entitlements**', (route) => route.abort());
  await page.evaluate(() => window.dispatchEvent(new Event('focus')));
  await expect.poll(async () => (await shown())[0]).toEqual([true, true, false]);
  expect((await shown())[1]).toEqual([true, 0, false]);

  // Somebody else signs in: nothing of the former, until it has its own.
  const token = await example.userToken(bob);
  await page.evaluate(([user, its]) => globalThis.signIn(user as string, its as string), [
    bob,
    token,
  ] as const);
  await expect.poll(shown).toEqual(Array(3).fill([null, null, false]));
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  await page.evaluate(() => window.dispatchEvent(new Event('focus')));
  await expect.poll(shown).toEqual(free);
  await page.evaluate(() => globalThis.signIn(null, ''));
  await expect.poll(shown).toEqual(Array(3).fill([null, null, true]));
});

test('an organisation has what its plan has, for its members alone', async () => {
  const [ada, bob] = [example.newUser(), example.newUser()];
  const acme = `acme-${ada}`;
  await example.admin.query(`select public.set_plan($1, 'pro'), public.add_member($1, $2)`, [
    acme,
    ada,
  ]);
  const has = async (user: string) => {
    const page = await openFixture({
      ...{ mode: 'user', first: await first(user), subject: acme, has: ['sso'] },
    });
    await expect.poll(() => page.locator('[data-has]').innerText()).not.toBe('[null,null,true]');
    return JSON.parse(await page.locator('[data-has]').innerText());
  };
  expect(await has(ada)).toEqual([true, true, true]);
  expect(await has(bob)).toEqual([false, null, true]);
});

test('at the limit the way to upgrade is there before the press, and not for who has the largest plan', async () => {
  const user = example.newUser();
  await use(user, 49);
  const page = await openFixture({ mode: 'user', first: await first(user) });
  await row(page).waitFor();
  const way = row(page).getByRole('link', { name: 'Upgrade for more: AI generations' });
  expect(await way.count()).toBe(0);
  await use(user, 1);
  await page.getByRole('button', { name: 'Refresh' }).click();
  await way.waitFor();
  expect(await way.getAttribute('href')).toBe('/settings/billing');

  await example.admin.query(`select public.set_limit($1, 'export', 'month', 3)`, [user]);
  await example.admin.query(`select public.set_plan($1, 'enterprise')`, [user]);
  await use(user, 3, 'export');
  await page.getByRole('button', { name: 'Refresh' }).click();
  await expect.poll(() => row(page, 'export').getAttribute('data-status')).toBe('at_limit');
  await expect.poll(() => page.getByTestId('plan').innerText()).toBe('enterprise');
  expect(await row(page, 'export').getByRole('link').count()).toBe(0);
});

test('the largest numbers and long names fit on a page of 320 pixels', async () => {
  const user = example.newUser();
  const most = Number.MAX_SAFE_INTEGER;
  await example.admin.query(`select public.set_limit($1, 'ai_generation', 'month', $2)`, [
    user,
    most,
  ]);
  await use(user, most - 1);
  await example.admin.query(
    `update quota.features set name = 'Donaudampfschifffahrtsgesellschaftskapitänsmützen' where feature_id = 'kb_file'`,
  );
  try {
    const page = await openFixture(
      { mode: 'user', first: await first(user) },
      { viewport: { width: 320, height: 800 } },
    );
    await expect
      .poll(() => amount(page))
      .toBe(`${(most - 1).toLocaleString('en-GB')} of ${most.toLocaleString('en-GB')}`);
    await page.locator('[data-plan=pro]').waitFor();
    await use(user, 1);
    await page.getByRole('button', { name: 'More' }).click();
    await expect.poll(() => paywall(page).innerText()).toContain(most.toLocaleString('en-GB'));
    const overflowing = await page.evaluate(() =>
      [...document.querySelectorAll('body *')]
        .filter((element) => element.closest('.pgquota-hidden') === null)
        .filter((element) => {
          const { left, right } = element.getBoundingClientRect();
          return left < 0 || right > innerWidth || element.scrollWidth > element.clientWidth + 1;
        })
        .filter((element) => getComputedStyle(element).display !== 'inline')
        .map((element) => element.outerHTML.slice(0, 120)),
    );
    expect(overflowing).toEqual([]);
  } finally {
    await example.admin.query(
      `update quota.features set name = 'Knowledge base files' where feature_id = 'kb_file'`,
    );
  }
});

describe('rendered on a server', () => {
  test('with the rows of the user, the browser takes it over as it is and asks anew', async () => {
    const user = example.newUser();
    await use(user, 12);
    const asUser = connectSupabase(example.url, example.anonKey, () => example.userToken(user));
    const { data } = await asUser.from('current_usage').select('*');
    const initialRows = data as CurrentUsage[];
    const html = renderToString(createElement(PageOfParts, { client: asUser, user, initialRows }));
    expect(html).toContain('12 of 50');
    await use(user, 3);
    const page = await openFixture(
      { mode: 'user', first: await first(user), rendered: { initialRows } },
      { html, locale: 'de-DE', timezoneId: 'Asia/Tokyo' },
    );
    await expect.poll(() => amount(page)).toBe('15 of 50');
    expect(await page.evaluate(() => globalThis.complaints)).toEqual([]);

    // The rows were that user's: the next one starts with none of them.
    const other = example.newUser();
    const token = await example.userToken(other);
    await page.evaluate(([user, its]) => globalThis.signIn(user as string, its as string), [
      other,
      token,
    ] as const);
    expect(await page.content()).not.toContain('12 of 50');
    await expect.poll(() => amount(page)).toBe('0 of 50');
  });
});
