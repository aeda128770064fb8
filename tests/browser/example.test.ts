import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createStandIn } from '../../supabase/functions/_shared/model.ts';
import { setClock } from '../support/clock.ts';
import { type RunningExample, startExample } from '../support/example.ts';
import { amount, ended, generate, launch, open, paywall, row, takeErrors } from './page.ts';

let example: RunningExample;
let browser: Browser;
beforeAll(async () => {
  [example, browser] = await Promise.all([startExample(createStandIn(2)), launch()]);
});
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  expect(takeErrors()).toEqual([]);
  expect(await example.mismatches()).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await example?.stop();
});

/** Used so far, without clicking fifty times. */
const use = (user: string, units: number) =>
  example.admin.query(`select public.consume_usage('ai_generation', $2, $1)`, [user, units]);

describe('the limit', () => {
  test('a free user reaches it, learns why, upgrades and goes on', async () => {
    const user = example.newUser();
    const page = await open(browser, example.url, user);
    for (const used of [10, 20, 30, 40, 50]) {
      await generate(page, 10);
      await expect.poll(() => amount(page)).toBe(`${used} of 50`);
    }
    await expect.poll(() => row(page).getAttribute('data-status')).toBe('at_limit');

    await generate(page, 1);
    await paywall(page).waitFor();
    const resets = new Date();
    resets.setUTCMonth(resets.getUTCMonth() + 1, 1);
    const month = resets.toLocaleString('en-GB', { month: 'short', timeZone: 'UTC' });
    await expect
      .poll(() => paywall(page).innerText())
      .toMatch(new RegExp(`used 50 of 50 this month\\..* 1 ${month}`));
    expect(await example.used(user)).toEqual({ used: 50, reserved: 0 });

    await page.getByRole('button', { name: 'Upgrade to Pro' }).click();
    await paywall(page).waitFor({ state: 'detached' });
    await expect.poll(() => page.getByTestId('plan').innerText()).toBe('Pro');
    await generate(page, 10);
    await ended(page);
    await expect.poll(() => amount(page)).toMatch(/^10 · ∞$/);
    const { rows } = await example.admin.query(
      `select sum(used)::int as used from public.usage_history
       where subject = $1 and feature = 'ai_generation' and period = 'month'`,
      [user],
    );
    expect(rows[0].used).toBe(60);
  });

  test('a pro user passes 100 without being asked', async () => {
    const page = await open(browser, example.url, 'demo-pro');
    expect(await amount(page)).toBe('96 · ∞');
    await generate(page, 10);
    await ended(page);
    await expect.poll(() => amount(page)).toBe('106 · ∞');
    expect(await paywall(page).count()).toBe(0);
  });

  test('two tabs at once share what is left: one writes, the other is refused', async () => {
    const user = example.newUser();
    await use(user, 40);
    const first = await open(browser, example.url, user);
    const second = await first.context().newPage();
    await second.goto(example.url);
    await second.locator('[data-feature=ai_generation]').waitFor();
    await Promise.all([generate(first, 10), generate(second, 10)]);
    await Promise.all([ended(first), ended(second)]);
    const refused = await Promise.all([first, second].map((page) => paywall(page).count()));
    expect(refused.toSorted()).toEqual([0, 1]);
    await expect.poll(() => example.used(user)).toEqual({ used: 50, reserved: 0 });
  });

  test('a hold is shown while it writes, and comes back when it is stopped', async () => {
    const user = example.newUser();
    const page = await open(browser, example.url, user);
    await generate(page, 10);
    await expect.poll(() => row(page).innerText()).toMatch(/10 reserved/);
    await page.getByRole('button', { name: 'Stop' }).click();
    await ended(page);
    await expect.poll(async () => (await example.used(user)).reserved).toBe(0);
    // By itself: nobody presses Refresh, and nobody waits for a minute.
    await expect.poll(() => row(page).innerText(), { timeout: 20_000 }).not.toMatch(/reserved/);
    const { used } = await example.used(user);
    expect(used).toBeLessThan(10);
    await expect.poll(() => amount(page)).toBe(`${used} of 50`);
  });

  test('a failed generation says so and costs nothing', async () => {
    const user = example.newUser();
    const page = await open(browser, example.url, user);
    await page.getByLabel('What about?').fill('[fail] please');
    await generate(page, 5);
    await page.getByText('Nothing was counted.').waitFor();
    await expect.poll(() => amount(page)).toBe('0 of 50');
    expect(await example.used(user)).toEqual({ used: 0, reserved: 0 });
    await expect
      .poll(() => page.getByRole('table').last().innerText())
      .toMatch(/release.*\n.*reserve/s);
  });

  test('more than fits, yet less than the limit: says what is left', async () => {
    const user = example.newUser();
    await use(user, 45);
    const page = await open(browser, example.url, user);
    await generate(page, 10);
    await expect.poll(() => paywall(page).innerText()).toMatch(/used 45 of 50 .* 5 left/);
    await page.getByRole('button', { name: 'Not now' }).click();
    await generate(page, 5);
    await ended(page);
    await expect.poll(() => amount(page)).toBe('50 of 50');
  });
});

test('a refusal leaves the drafts of before where they are', async () => {
  const user = example.newUser();
  const page = await open(browser, example.url, user);
  await generate(page, 1);
  await page.getByText('Written and counted: 1.').waitFor();
  const drafts = page.getByRole('list', { name: 'Drafts' });
  const written = await drafts.innerText();
  expect(written).toContain('every call is counted');
  await use(user, 49);
  await page.getByRole('button', { name: 'Generate' }).click();
  await paywall(page).getByRole('button', { name: 'Not now' }).click();
  expect(await drafts.innerText()).toBe(written);
});

test('how many are left, and the way to more, are beside the button before it is pressed', async () => {
  const user = example.newUser();
  await use(user, 47);
  const page = await open(browser, example.url, user);
  const form = page.getByRole('form', { name: 'Write something' });
  await page.getByRole('radio', { name: '1', exact: true }).check();
  expect(await form.getByText('Only 3 left').count()).toBe(0);
  await page.getByRole('radio', { name: '5', exact: true }).check();
  await form.getByText('Only 3 left this month.').waitFor();
  await form.getByRole('button', { name: 'Upgrade for more: AI generations' }).click();
  await paywall(page).getByRole('button', { name: 'Upgrade to Pro' }).click();
  await paywall(page).waitFor({ state: 'detached' });
  await expect.poll(() => form.getByText('left this month').count()).toBe(0);
});

test('what is not counted is beside what is: in which plan it is, and after an upgrade that it is there', async () => {
  const user = example.newUser();
  const page = await open(browser, example.url, user);
  const has = (feature: string) => page.locator(`.included [data-feature=${feature}]`).innerText();
  await expect.poll(() => has('sso')).toMatch(/^Single sign-on\s+in Pro$/);
  await expect.poll(() => has('max_context')).toMatch(/^Context\s+8,000 tokens$/);
  await page.getByRole('link', { name: 'Single sign-on: in Pro' }).click();
  await expect
    .poll(() => page.locator('[data-plan=pro]').innerText())
    .toMatch(/Single sign-on\s+Context: 200,000 tokens/);
  expect(await page.locator('[data-plan=free]').innerText()).not.toMatch(/Single sign-on/);
  await page.getByRole('button', { name: 'Choose Pro' }).click();
  await page.getByRole('link', { name: 'Back to the drafts' }).click();
  await expect.poll(() => has('sso')).toMatch(/included$/);
  await expect.poll(() => has('max_context')).toMatch(/200,000 tokens$/);
});

test('Refresh brings the events and the chart along', async () => {
  const user = example.newUser();
  const page = await open(browser, example.url, user);
  await page.getByText('The ledger is empty.').waitFor();
  await use(user, 3);
  await page.getByRole('button', { name: 'Refresh' }).click();
  await expect.poll(() => page.getByRole('table').last().innerText()).toMatch(/consume.*\n?.*\+3/s);
  await page.getByRole('table', { name: 'AI generations by month' }).waitFor();
});

test('an upgrade in the middle of a month: each bar says when its period began', async () => {
  const user = example.newUser();
  await use(user, 50);
  const page = await open(browser, example.url, user);
  await generate(page, 1);
  await page.getByRole('button', { name: 'Upgrade to Pro' }).click();
  await paywall(page).waitFor({ state: 'detached' });
  await generate(page, 1);
  const names = page.getByRole('table', { name: 'AI generations by month' }).getByRole('rowheader');
  await expect.poll(() => names.count()).toBe(2);
  const [before, after] = await names.allInnerTexts();
  expect(before).not.toBe(after);
  if (new Date().getUTCDate() !== 1) expect(after).toMatch(/^\d+ \w+$/);
});

test('a month is named by the calendar of its subject, wherever it is looked at', async () => {
  const user = example.newUser();
  await use(user, 2);
  const page = await open(browser, example.url, user, { timezoneId: 'America/Los_Angeles' });
  const name = page.getByRole('table', { name: 'AI generations by month' }).getByRole('rowheader');
  const month = new Date().toLocaleString('en-GB', { month: 'short', timeZone: 'UTC' });
  expect(await name.allInnerTexts()).toEqual([month]);
});

test('where a refusal leads: the plans, the own one marked, and another can be chosen', async () => {
  const user = example.newUser();
  const page = await open(browser, example.url, user);
  await page.getByTestId('plan').click();
  const plan = (id: string) => page.locator(`[data-plan=${id}]`);
  await expect.poll(() => plan('free').innerText()).toMatch(/50 AI generations.*Your plan/s);
  expect(
    await page.locator('[data-plan]').evaluateAll((all) => all.map((one) => one.dataset.plan)),
  ).toEqual(['free', 'pro', 'enterprise']);
  await page.getByRole('button', { name: 'Choose Pro' }).click();
  await expect.poll(() => plan('pro').innerText()).toMatch(/Your plan/);
  await page.getByRole('link', { name: 'Back to the drafts' }).click();
  await expect.poll(() => page.getByTestId('plan').innerText()).toBe('Pro');
});

test('files: the eleventh row is refused by the database, deleting one makes room', async () => {
  const user = example.newUser();
  await example.admin.query(
    `insert into public.kb_files (owner, name) select $1, 'file ' || n from generate_series(1, 9) as n`,
    [user],
  );
  const page = await open(browser, example.url, user);
  await expect.poll(() => amount(page, 'kb_file')).toBe('9 of 10');
  const add = async (name: string) => {
    await page.getByLabel('Name of the file').fill(name);
    await page.getByRole('button', { name: 'Add file' }).click();
  };
  const files = () => page.getByRole('list', { name: 'Files' }).getByRole('listitem').count();
  await add('the tenth');
  await expect.poll(files).toBe(10);
  await add('one too many');
  await expect.poll(() => paywall(page).innerText()).toMatch(/used 10 of 10.*deleting makes room/);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Delete file 3' }).click();
  await expect.poll(files).toBe(9);
  await add('now it fits');
  await expect.poll(files).toBe(10);
  await expect.poll(() => amount(page, 'kb_file')).toBe('10 of 10');
});

test('a team: one member is at its cap while the team has room, and the owner sees who used what', async () => {
  const team = (page: Page) => page.getByRole('region', { name: 'Your team’s credits' });
  const amounts = (page: Page) => team(page).locator('.pgquota-amount').allInnerTexts();
  const table = (page: Page) => team(page).getByRole('table', { name: 'Who used what' });

  const bob = await open(browser, example.url, 'demo-bob');
  await expect.poll(() => amounts(bob)).toEqual(['330 of 1,000', '290 of 300']);
  expect(await team(bob).innerText()).toContain('for demo-bob');
  // Under a cap: its own sums.
  await expect.poll(() => table(bob).innerText()).not.toContain('demo-ada');
  await team(bob).getByRole('button', { name: 'Draw an image' }).click();
  await expect.poll(() => amounts(bob)).toEqual(['340 of 1,000', '300 of 300']);
  await team(bob).getByRole('button', { name: 'Draw 5 images' }).click();
  await team(bob)
    .getByText('Of your own 300 credits there are 0 left, of the team’s 660. It takes 50.')
    .waitFor();

  const ada = await open(browser, example.url, 'demo-ada');
  await team(ada).getByRole('button', { name: 'Draw 5 images' }).click();
  await team(ada).getByText('Drawn, for 50 credits.').waitFor();
  await expect.poll(() => amounts(ada)).toEqual(['390 of 1,000', '90 of 300']);
  await expect.poll(() => table(ada).innerText()).toMatch(/demo-bob\s+300\s+3\s+demo-ada\s+90\s+2/);

  const other = await open(browser, example.url, example.newUser());
  expect(await team(other).count()).toBe(0);
});

describe('who sees what', () => {
  test('a second user sees nothing of the first', async () => {
    const [first, second] = [example.newUser(), example.newUser()];
    await use(first, 7);
    await example.admin.query(`insert into public.kb_files (owner, name) values ($1, 'secret')`, [
      first,
    ]);
    const page = await open(browser, example.url, second);
    expect(await amount(page)).toBe('0 of 50');
    await page.getByText('The ledger is empty.').waitFor();
    await page.getByText('No files yet.').waitFor();
    expect(await page.content()).not.toContain('secret');

    const token = await example.userToken(second);
    for (const view of ['current_usage', 'usage_events', 'usage_history', 'kb_files']) {
      const column = view === 'kb_files' ? 'owner' : 'subject';
      const response = await fetch(`${example.url}/rest/v1/${view}?${column}=eq.${first}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect([view, response.status, await response.json()]).toEqual([view, 200, []]);
    }
  });

  test('switching the user leaves nothing of the one before', async () => {
    const page = await open(browser, example.url, 'demo-free');
    expect(await amount(page)).toBe('32 of 50');
    await page.getByRole('radio', { name: 'Pro user' }).check();
    await expect.poll(() => page.getByTestId('plan').innerText()).toBe('Pro');
    await expect.poll(() => amount(page)).toMatch(/∞$/);
    await page.getByRole('button', { name: 'New user' }).click();
    await expect.poll(() => amount(page)).toBe('0 of 50');
    await page.getByText('The ledger is empty.').waitFor();
  });

  test('neither the service key nor a token of its role reaches the browser', async () => {
    const user = example.newUser();
    const seen: string[] = [];
    const page = await open(browser, example.url, user);
    page.on('request', (request) => seen.push(JSON.stringify(request.headers())));
    page.on('response', async (response) => {
      seen.push(JSON.stringify(response.headers()));
      seen.push(await response.text().catch(() => ''));
    });
    await page.reload();
    await use(user, 50);
    await generate(page, 1);
    await page.getByRole('button', { name: 'Upgrade to Pro' }).click();
    await expect.poll(() => page.getByTestId('plan').innerText()).toBe('Pro');
    const all = seen.join('\n');
    expect(all).toContain(example.anonKey);
    expect(all).not.toContain(example.serviceRoleKey);
    expect(all).not.toContain(example.secret);
    const roles = [...all.matchAll(/eyJ[\w-]+\.(eyJ[\w-]+)\./g)].map(
      ([, claims]) => JSON.parse(Buffer.from(claims as string, 'base64url').toString()).role,
    );
    expect([...new Set(roles)].toSorted()).toEqual(['anon', 'authenticated']);
  });
});

test('a month ends: the indicator starts again at 0 on focus, and there is room', async () => {
  const user = example.newUser();
  await use(user, 50);
  const page = await open(browser, example.url, user);
  expect(await amount(page)).toBe('50 of 50');
  await setClock(example.admin, { offset: '1 month' });
  try {
    await page.evaluate(() => window.dispatchEvent(new Event('focus')));
    await expect.poll(() => amount(page)).toBe('0 of 50');
    await generate(page, 1);
    await ended(page);
    await expect.poll(() => amount(page)).toBe('1 of 50');
    await expect
      .poll(() => page.getByRole('table', { name: 'AI generations by month' }).innerText())
      .toMatch(/50\s+50[\s\S]*1\s+50/);
  } finally {
    await setClock(example.admin, { offset: '0' });
  }
});
