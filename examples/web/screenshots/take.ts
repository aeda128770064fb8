/** Takes the pictures again, of a running `npm start`: npx tsx examples/web/screenshots/take.ts [url] */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const url = process.argv[2] ?? 'http://127.0.0.1:54321';
const fileOf = (name: string) => fileURLToPath(new URL(`${name}.png`, import.meta.url));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
});
for (const colorScheme of ['light', 'dark'] as const) {
  const user = colorScheme === 'light' ? 'demo-free' : `you-${randomBytes(4).toString('hex')}`;
  const context = await browser.newContext({
    colorScheme,
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    viewport: { width: 1120, height: 900 },
    storageState: {
      cookies: [],
      origins: [{ origin: url, localStorage: [{ name: 'user', value: user }] }],
    },
  });
  const page = await context.newPage();
  await page.goto(url);
  const generate = async () => {
    await page.getByRole('radio', { name: '10', exact: true }).check();
    await page.getByRole('button', { name: 'Generate' }).click();
  };
  const drafts = page.getByRole('list', { name: 'Drafts' }).getByRole('listitem');
  await generate();
  await drafts.nth(3).waitFor();
  await page.screenshot({ path: fileOf(colorScheme) });

  const offer = page.getByRole('button', { name: 'Upgrade to Pro' });
  while (!(await offer.isVisible())) {
    await page.getByText('Written and counted').or(offer).waitFor();
    if (!(await offer.isVisible())) await generate();
    await page.getByText('Writing').waitFor({ state: 'hidden' });
  }
  await page.screenshot({ path: fileOf(`paywall-${colorScheme}`) });
  await context.close();
}
await browser.close();
