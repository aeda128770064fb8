// The studio as somebody has it open: each page and each action in a browser, through the command itself, with
// 100,000 subjects and with none, light and dark, on a desk and on a phone.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type pg from 'pg';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createProject, startPgquota } from '../package/cli.ts';
import { addCrowd, NOW, prepareGround } from '../studio/ground.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { launch, takeErrors, watchErrors } from './page.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const project = createProject();
const databases: TestDatabase[] = [];
let admin: pg.Client;
let browser: Browser;
let studio: Running;
let empty: Running;

interface Running {
  address: string;
  command: ReturnType<typeof startPgquota>;
}

async function start(url: string, ...options: string[]): Promise<Running> {
  const args = ['studio', '--no-open', '--port', '0', ...options];
  const command = startPgquota(project.folder, args, { DATABASE_URL: url });
  const [address] = await command.said(/http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]+/);
  return { address, command };
}

beforeAll(async () => {
  databases.push(...(await Promise.all([createDatabase(), createDatabase()])));
  const [ground, none] = databases as [TestDatabase, TestDatabase];
  admin = await ground.connect();
  await prepareGround(admin);
  await addCrowd(admin, 100_000);
  [studio, empty, browser] = await Promise.all([
    start(ground.url),
    start(none.url, '--read-only'),
    launch(),
  ]);
});
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  expect(takeErrors()).toEqual([]);
  expect(complaints.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  for (const one of [studio, empty]) one?.command.kill('SIGTERM');
  const ends = await Promise.all([studio, empty].map((one) => one?.command.ended));
  expect(ends.map((end) => end?.code)).toEqual([0, 0]);
  await Promise.all(databases.map((database) => database.drop()));
  project.remove();
});

/** What the browser says against a page: a policy that is broken, a file that is missing. */
const complaints: string[] = [];

/** What a browser has of the address: it is opened once. */
const entered = new Map<Running, Awaited<ReturnType<BrowserContext['storageState']>>>();

async function open(
  path: string,
  { of = studio, ...options }: BrowserContextOptions & { of?: Running } = {},
): Promise<Page> {
  const context = await browser.newContext({
    ...{ locale: 'en-GB', timezoneId: 'UTC', viewport: { width: 1280, height: 900 } },
    ...(entered.get(of) ? { storageState: entered.get(of) } : {}),
    ...options,
  });
  watchErrors(context);
  context.setDefaultTimeout(30_000);
  context.on('console', (message) => {
    // What the database refuses is an answer of 422.
    if (message.type() === 'error' && !/status of 4(00|22)/.test(message.text()))
      complaints.push(message.text());
  });
  const page = await context.newPage();
  // Where it stands still, the editor's completion takes no key: it waits for a moment that never comes.
  if (of === studio && path !== '/plans') await page.clock.setFixedTime(NOW);
  if (!entered.has(of)) {
    await page.goto(of.address);
    await page.getByRole('heading', { level: 1 }).waitFor();
    expect(page.url()).not.toMatch(/token|key/);
    entered.set(of, await context.storageState());
  }
  await page.goto(new URL(of.address).origin + path);
  await page.getByRole('heading', { level: 1 }).waitFor();
  return page;
}

const subject = (id: string, options: BrowserContextOptions = {}) =>
  open(`/subject?id=${encodeURIComponent(id)}`, options);

/** Fills in the dialog that is open, waits for the preview, says why, and confirms. */
async function act(page: Page, name: string, given: Record<string, string>, reason: string) {
  const dialog = page.getByRole('dialog');
  for (const [label, value] of Object.entries(given)) {
    const field = dialog.getByLabel(label, { exact: true });
    if (await field.evaluate((element) => element.tagName === 'SELECT'))
      await field.selectOption(value);
    else await field.fill(value);
  }
  const region = dialog.getByRole('region', { name: 'What it will do' });
  await expect.poll(() => region.getAttribute('aria-busy')).toBe('false');
  const preview = await region.innerText();
  await dialog.getByLabel(/^Reason/).fill(reason);
  await dialog.getByRole('button', { name, exact: true }).click();
  await dialog.getByText('Done.').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await dialog.waitFor({ state: 'detached' });
  return preview;
}

const decision = async (id: string, feature = 'ai_generation') => {
  const { rows } = await admin.query(
    `select allowed, used::int, reserved::int, "limit"::int, plan from public.check_usage($1, 1, $2)`,
    [feature, id],
  );
  return rows[0];
};
/** What lines of a kind say: the clock stands, so none is the latest. */
const said = async (id: string, kind: string) => {
  const { rows } = await admin.query(
    `select metadata from public.usage_events where subject = $1 and kind = $2`,
    [id, kind],
  );
  return rows.map(({ metadata }) => metadata);
};

test('"maya says she was blocked at 10:42": found, explained and made good, without SQL', async () => {
  const begun = performance.now();
  expect((await decision('maya')).allowed).toBe(false);
  const page = await open('/');
  await page.keyboard.press('/');
  await page.keyboard.type('maya');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'maya' }).waitFor();
  await page.getByLabel('When it was refused').fill('2026-11-26T10:42');
  await page.getByRole('button', { name: 'Look' }).click();
  await page
    .getByText(
      /No room at .*10:42.*: 20 of 20 AI generations used in that day\..* until 27 Nov, 00:00/,
    )
    .waitFor();
  await page.getByRole('button', { name: 'grant more' }).click();
  const preview = await act(page, 'Grant', { Amount: '12' }, 'the batch of 10:31 went wrong');
  expect(preview).toMatch(/AI generations \/ day\s+20 of 20\s+20 of 32/);
  await page.getByText('refused', { exact: true }).waitFor({ state: 'detached' });
  expect(await decision('maya')).toMatchObject({ allowed: true, limit: 32 });
  expect(await said('maya', 'grant')).toContainEqual(
    expect.objectContaining({ amount: 12, reason: 'the batch of 10:31 went wrong' }),
  );
  await page
    .getByText('12 ai_generation granted · “the batch of 10:31 went wrong”')
    .first()
    .waitFor();
  expect(performance.now() - begun).toBeLessThan(60_000);
});

describe('each action', () => {
  test('change plan, an exception with an end, and its end', async () => {
    const page = await subject('nils');
    await page.getByRole('button', { name: 'Change plan…' }).click();
    const preview = await act(page, 'Change plan', { Plan: 'pro' }, 'upgrade by mail');
    expect(preview).toMatch(/Plan\s+free\s+pro/);
    expect(preview).toMatch(/AI generations \/ month\s+17 \+ 2 held of 200|17 of 200/);
    await expect.poll(() => page.getByTestId('plan').innerText()).toBe('Pro');
    expect(await said('nils', 'plan')).toMatchObject([{ reason: 'upgrade by mail' }]);

    await page.getByRole('button', { name: 'Exception…' }).click();
    await act(
      page,
      'Exception',
      { Feature: 'export', Per: 'month', Limit: '250', Until: '2026-12-24T12:00' },
      'advent',
    );
    const { rows } = await admin.query(
      `select amount::int, ends_at from quota.exceptions where subject_id = 'nils'`,
    );
    expect(rows).toEqual([{ amount: 250, ends_at: new Date('2026-12-24T12:00Z') }]);
    await page.getByRole('button', { name: 'End it…' }).click();
    await act(page, 'End the exception', {}, 'was a mistake');
    await page.getByRole('button', { name: 'End it…' }).waitFor({ state: 'detached' });
    expect(await said('nils', 'limit')).toContainEqual({
      period: 'month',
      cleared: true,
      reason: 'was a mistake',
    });
  });

  test('a fresh start, a refund of a line, and a grant taken back in part', async () => {
    const page = await subject('maya');
    await page
      .getByRole('row', { name: /10:31:00 consume/ })
      .getByRole('button')
      .click();
    await act(page, 'Refund', { Amount: '5' }, 'five of them failed');
    expect(await decision('maya')).toMatchObject({ used: 15 });
    await page.getByRole('button', { name: 'Fresh start…' }).click();
    await act(page, 'Fresh start', { Feature: 'ai_generation', Period: 'day' }, 'an apology');
    expect(await decision('maya')).toMatchObject({ used: 0 });
    expect(await said('maya', 'reset')).toMatchObject([{ reason: 'an apology' }]);
    await page.getByRole('listitem').filter({ hasText: 'launch week' }).getByRole('button').click();
    await act(page, 'Take back a grant', { Amount: '4' }, 'ten was a slip');
    expect(await said('maya', 'void')).toMatchObject([{ amount: 4, reason: 'ten was a slip' }]);
  });

  test('a hold is released, and a subject is forgotten once its id was typed', async () => {
    expect(await decision('acme')).toMatchObject({ reserved: 5 });
    const page = await subject('acme');
    await page.getByRole('button', { name: 'Release…' }).click();
    await act(page, 'Release the hold', {}, 'its worker is gone');
    expect(await decision('acme')).toMatchObject({ reserved: 0 });
    expect(await said('acme', 'release')).toEqual([{ reason: 'its worker is gone' }]);

    await page.goto(`${new URL(page.url()).origin}/subject?id=ruth`);
    await page.getByRole('button', { name: 'Forget…' }).click();
    const dialog = page.getByRole('dialog');
    const confirm = dialog.getByRole('button', { name: 'Forget', exact: true });
    await dialog.getByLabel(/^Reason/).fill('asked for it');
    await dialog.getByLabel(/^Type the subject/).fill('rut');
    await dialog.getByRole('rowheader', { name: 'Known' }).waitFor();
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByLabel(/^Type the subject/).fill('ruth');
    await confirm.click();
    await dialog.getByText('Done.').waitFor();
    const { rows } = await admin.query(`select from quota.events where subject_id = 'ruth'`);
    expect(rows.length).toBe(0);
    await page.keyboard.press('Escape');
    await page.getByText('No call was ever made for ruth').waitFor();
  });

  test('what the database refuses is in its own words, and nothing can be confirmed', async () => {
    const page = await subject('nils');
    await page.getByRole('button', { name: 'Exception…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Limit', { exact: true }).fill('-5');
    await dialog.getByLabel(/^Reason/).fill('x');
    const refusal = dialog.getByRole('alert');
    await expect
      .poll(() => refusal.innerText())
      .toMatch(/The database refuses:\s+amount -5 is not .*QAMNT/s);
    expect(await dialog.getByRole('button', { name: 'Exception', exact: true }).isDisabled()).toBe(
      true,
    );
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  });
});

test('the list of who is near: in any order, of what is asked for, page after page, and to be sent on', async () => {
  const page = await open('/');
  const card = page.getByRole('region', { name: 'Near a limit, or over it' }).first();
  const rows = card.locator('tbody tr');
  await expect.poll(() => rows.count()).toBe(15);
  await card.getByRole('button', { name: 'Show more' }).click();
  await expect.poll(() => rows.count()).toBe(65);
  await card.getByRole('button', { name: 'Subject' }).click();
  await expect.poll(() => rows.first().innerText()).toMatch(/^(acme|maya|nils)/);
  await card.getByLabel('Subject begins with').fill('user-0999');
  await expect.poll(() => rows.first().innerText()).toMatch(/^user-099900/);
  await card.getByLabel('Status').selectOption('over_limit');
  await expect.poll(() => rows.count()).toBe(1);
  expect(new URL(page.url()).search).toBe('?sort=subject&prefix=user-0999&status=over_limit');
  await page.reload();
  await expect.poll(() => rows.count()).toBe(1);
  await page.getByRole('button', { name: '30 days' }).click();
  await expect.poll(() => page.getByRole('article').first().innerText()).toMatch(/Exports\s+\d/);
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await page.getByRole('heading', { level: 1, name: 'Subjects' }).waitFor();
  await page.getByLabel('Begins with').fill('acme');
  await expect.poll(() => page.locator('tbody tr').allInnerTexts()).toHaveLength(2);
});

test('plans: completed and judged as it is typed, what changes and who would be over, and applied', async () => {
  const page = await open('/plans');
  const line = page.locator('.cm-line', { hasText: '"ai_generation": { "day": 20' });
  const type = async (text: string) => {
    await page.keyboard.press('Home');
    await page.keyboard.press('Shift+End');
    await page.keyboard.insertText(text);
  };
  await line.click();
  await type('"ai_generation": { "day": 20, "month": -1 },');
  await page.getByText(/line \d+ plans\.free\.limits\.ai_generation\.month: found -1/).waitFor();
  await page.locator('.cm-lint-marker-error').waitFor();
  await type('"ai_generation": { "day": 20, "month": 60 },');
  await page
    .getByRole('region', { name: 'What changes' })
    .getByText(/amount: 200 → 60/)
    .waitFor();
  await expect
    .poll(() => page.getByRole('region', { name: 'Who would be over' }).first().innerText())
    .toMatch(/maya\s+free\s+ai_generation \/ month\s+\d+ of \d+\s+\d+/);
  await expect
    .poll(() => page.locator('[data-plan=free]').innerText())
    .toMatch(/60 AI generations per month/);
  await page.getByRole('button', { name: 'Against what holds' }).click();
  await expect.poll(() => page.locator('.cm-deletedChunk').innerText()).toMatch(/"month": 200/);

  // Completion knows the keys of the schema.
  await page.locator('.cm-line', { hasText: '"sso":' }).first().click();
  await type('"sso": { "name": "Single sign-on", "kind": "switch",  }');
  for (let n = 0; n < 2; n++) await page.keyboard.press('ArrowLeft');
  await page.keyboard.type('"hid');
  await page.getByRole('option', { name: 'hidden' }).waitFor();
  // What has only just come up takes no key: somebody may have meant a new line.
  await page.waitForTimeout(500);
  await page.keyboard.press('Enter');
  await expect
    .poll(() => page.locator('.cm-content').innerText())
    .toMatch(/"hidden": (false|true)/);
  await page.keyboard.press('Control+z');
  await page.locator('.cm-line', { hasText: '"sso":' }).first().click();
  await type('"sso": { "name": "Single sign-on", "kind": "switch" }');

  await page.getByRole('button', { name: 'Apply…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Apply', exact: true }).click();
  await page.getByText('Nothing yet: the document is as it holds.').waitFor();
  const { rows } = await admin.query(
    `select amount::int from quota.plan_limits where plan_id = 'free' and feature_id = 'ai_generation' and period = 'month'`,
  );
  expect(rows).toEqual([{ amount: 60 }]);
});

test('health: every number proved, and of what is wrong the statement that mends it', async () => {
  await admin.query(
    `update pg_index set indisvalid = false where indexrelid = 'quota.subjects_by_plan'::regclass`,
  );
  const page = await open('/health');
  try {
    await page.getByRole('button', { name: 'Prove it' }).click();
    await page.getByText('Every number is proved.').waitFor({ timeout: 60_000 });
    await page.getByText('index quota.subjects_by_plan is not valid').waitFor();
    await page.getByText('reindex index concurrently quota.subjects_by_plan;').waitFor();
    // The clock of this database is not that of a release.
    await page.getByText('function quota.clock()').waitFor();
    await page.getByText('idempotency keys, 31 days after they were bound').waitFor();
  } finally {
    await admin.query(
      `update pg_index set indisvalid = true where indexrelid = 'quota.subjects_by_plan'::regclass`,
    );
  }
});

test('live: a line is there a moment after the call, and pause holds it', async () => {
  const page = await open('/live');
  const first = page.locator('tbody tr').first();
  await first.waitFor();
  await admin.query(`select public.consume_usage('export', 1, 'live-customer')`);
  await expect
    .poll(() => page.locator('tbody').innerText())
    .toMatch(/live-customer\s+consume\s+export\s+\+1/);
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Go on' }).waitFor();
});

const PAGES = [
  '/',
  '/subjects',
  '/subject?id=maya&at=2026-11-26T10:42:00Z',
  '/plans',
  '/health',
  '/live',
];

/** All of it there: what is loaded, and what waits for it. */
async function settle(page: Page) {
  await expect.poll(() => page.locator('.waiting').count()).toBe(0);
}

async function faults(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: axe-core's own global
    const { violations } = await (globalThis as any).axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    });
    return (violations as { id: string; nodes: { html: string; failureSummary: string }[] }[]).map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join(' ')}`,
    );
  });
}

test.each([
  ['light', 1280],
  ['dark', 390],
] as const)(
  'axe-core finds nothing, and nothing sticks out: %s, %i pixels wide',
  async (colorScheme, width) => {
    const page = await open('/', { colorScheme, viewport: { width, height: 800 } });
    const { origin } = new URL(page.url());
    for (const path of PAGES) {
      await page.goto(origin + path);
      await settle(page);
      expect([path, await faults(page)]).toEqual([path, []]);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect([path, over]).toEqual([path, 0]);
    }
    await page.goto(`${origin}/subject?id=nils`);
    await page.getByRole('button', { name: 'Grant…' }).click();
    await page.getByRole('dialog').getByLabel('Amount').fill('5');
    await page.getByRole('dialog').getByRole('table').waitFor();
    expect(await faults(page)).toEqual([]);
  },
);

test('an empty database, read only: each page says what there is none of, and nothing is offered', async () => {
  const page = await open('/', { of: empty });
  await page.getByText('There is no feature yet').waitFor();
  await page.getByText('Nobody is near a limit.').waitFor();
  await page.getByText('read only: started with --read-only').waitFor();
  const { origin } = new URL(page.url());
  for (const [path, words] of [
    ['/subjects', 'No subject was seen yet'],
    ['/subject?id=nobody', 'No call was ever made for nobody'],
    ['/plans', 'No plan is on offer.'],
    ['/health', 'As this release made it.'],
    ['/live', 'Nothing has happened yet.'],
  ] as const) {
    await page.goto(origin + path);
    await page.getByText(words).first().waitFor();
    expect(
      await page.getByRole('button', { name: /(plan|Grant|Forget|Apply|Refund)…$/ }).count(),
    ).toBe(0);
  }
});
