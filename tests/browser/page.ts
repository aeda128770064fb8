/** Debian's Chromium, and the page as a user of it. */
import { existsSync } from 'node:fs';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

export async function launch(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) {
    throw new Error(
      `There is no ${CHROMIUM}: apt-get install chromium, or name another in CHROMIUM`,
    );
  }
  const isRoot = process.getuid?.() === 0;
  return chromium.launch({ executablePath: CHROMIUM, args: isRoot ? ['--no-sandbox'] : [] });
}

/** What went wrong in a page since the last look. */
export const takeErrors = () => errors.splice(0);
const errors: string[] = [];
export const watchErrors = (context: BrowserContext) =>
  context.on('weberror', (failure) => errors.push(String(failure.error().stack)));

/** Signed in as `user`, with all that it shows loaded. */
export async function open(
  browser: Browser,
  url: string,
  user: string,
  options: BrowserContextOptions = {},
): Promise<Page> {
  const context = await browser.newContext({
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    viewport: { width: 1120, height: 1000 },
    storageState: signedIn(url, user),
    ...options,
  });
  watchErrors(context);
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  await page.goto(url);
  await page.locator('[data-feature=ai_generation]').waitFor();
  return page;
}

/** What the page finds in its storage: who signed in last. */
export const signedIn = (url: string, user: string) => ({
  cookies: [],
  origins: [{ origin: url, localStorage: [{ name: 'user', value: user }] }],
});

/** The row of the indicator, and what a screen reader is told of its meter. */
export const row = (page: Page, feature = 'ai_generation') =>
  page.locator(`[data-feature=${feature}]`);
export const amount = (page: Page, feature?: string) =>
  row(page, feature).locator('.pgquota-amount').innerText();

export async function generate(page: Page, drafts: 1 | 5 | 10): Promise<void> {
  await page.getByRole('radio', { name: String(drafts), exact: true }).check();
  await page.getByRole('button', { name: 'Generate' }).click();
}

/** Waits for the end of a generation, whichever it is. */
export const ended = (page: Page) =>
  page
    .getByText(/^Written and counted|Nothing was counted\.$|^Stopped/)
    .or(page.getByRole('dialog'))
    .waitFor();

export const paywall = (page: Page) => page.getByRole('dialog');
