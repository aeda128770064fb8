/**
 * Takes the pictures again, of an `npm start` that was started anew (`.pgquota` removed): they use up the
 * free user's month. npx tsx examples/web/screenshots/take.ts [url]
 */
import { fileURLToPath } from 'node:url';
import { chromium, type Page } from 'playwright-core';

const url = process.argv[2] ?? 'http://127.0.0.1:54321';
const SIZES = [
  { width: 320, height: 700 },
  { width: 768, height: 1024 },
  { width: 1280, height: 900 },
];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
});

async function each(name: string, prepare: (page: Page) => Promise<void>) {
  for (const viewport of SIZES) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const context = await browser.newContext({
        ...{ colorScheme, viewport, locale: 'en-GB', timezoneId: 'Europe/Berlin' },
        reducedMotion: 'reduce',
      });
      const page = await context.newPage();
      await page.goto(url);
      await page.locator('[data-feature=ai_generation]').waitFor();
      await prepare(page);
      const file = `${name}-${viewport.width}-${colorScheme}.png`;
      await page.screenshot({ path: fileURLToPath(new URL(file, import.meta.url)) });
      const stop = page.getByRole('button', { name: 'Stop' });
      if (await stop.isVisible()) await stop.click();
      await page.getByText(/reserved/).waitFor({ state: 'hidden' });
      await context.close();
    }
  }
}

const generate = (page: Page) => page.getByRole('button', { name: 'Generate' }).click();

await each('page', async (page) => {
  // All of it, measured before: whatever is begun while the picture is taken counts.
  await page.waitForLoadState('networkidle');
  const height = await page.locator('html').evaluate((html) => html.scrollHeight);
  await page.setViewportSize({ width: page.viewportSize()?.width ?? 0, height: height + 32 });
  await generate(page);
  await page.getByText(/5 reserved/).waitFor();
});
await each('paywall', async (page) => {
  const paywall = page.getByRole('dialog').getByText('You have used 50 of 50');
  while (!(await paywall.isVisible())) {
    const left =
      50 - Number.parseInt((await page.locator('.pgquota-amount').first().textContent()) ?? '', 10);
    const drafts = [10, 5, 1].find((amount) => amount <= left) ?? 1;
    await page.getByRole('radio', { name: String(drafts), exact: true }).check();
    await generate(page);
    await page.getByText('Written and counted').or(paywall).waitFor();
    await page.getByText('Writing').waitFor({ state: 'hidden' });
    await page.waitForTimeout(500);
  }
});
await browser.close();
