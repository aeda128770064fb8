/**
 * Takes the pictures of docs/studio.md again, of what the tests are tried on, in a server of its own:
 * npm run build:studio && npx tsx studio/screenshots/take.ts
 */
import pg from 'pg';
import { chromium, type Page } from 'playwright-core';
import { fromRoot } from '../../scripts/local/project.ts';
import { addCrowd, NOW, prepareGround } from '../../tests/studio/ground.ts';
import { MIGRATED, startCluster, urlOf } from '../../tests/support/cluster.ts';
import { startStudio } from '../server/studio.ts';

const { cluster, stop } = await startCluster();
const admin = new pg.Client(cluster.adminUrl);
await admin.connect();
await admin.query(`create database pictures template ${MIGRATED}`);
const databaseUrl = urlOf(cluster, 'pictures');
const client = new pg.Client(databaseUrl);
await client.connect();
await prepareGround(client);
await addCrowd(client, 100_000);
const studio = await startStudio({
  ...{ databaseUrl, place: 'db.example.com:5432/app', port: 0, isReadOnly: false },
  page: fromRoot('dist/studio/page'),
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
});

async function take(
  colorScheme: 'light' | 'dark',
  name: string,
  path: string,
  prepare: (page: Page) => Promise<void> = async () => {},
  height = 900,
): Promise<void> {
  const context = await browser.newContext({
    ...{ colorScheme, viewport: { width: 1280, height }, reducedMotion: 'reduce' },
    ...{ locale: 'en-GB', timezoneId: 'UTC' },
  });
  const page = await context.newPage();
  await page.clock.setFixedTime(NOW);
  await page.goto(studio.address);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.goto(new URL(studio.address).origin + path);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await prepare(page);
  await page.locator('.waiting').first().waitFor({ state: 'detached' });
  await page.waitForTimeout(800);
  await page.screenshot({ path: fromRoot(`docs/studio/${name}-${colorScheme}.png`) });
  await context.close();
}

await take('light', 'overview', '/');
await take('light', 'subject', '/subject?id=maya&at=2026-11-26T10:42:00Z');
await take('dark', 'grant', '/subject?id=maya&at=2026-11-26T10:42:00Z', async (page) => {
  await page.getByRole('button', { name: 'grant more' }).click();
  await page.getByLabel(/^Reason/).fill('the batch of 10:31 went wrong');
  await page.getByText('Lines in the ledger').waitFor();
});
await take('light', 'plans', '/plans', async (page) => {
  const replace = async (line: string, text: string) => {
    await page.locator('.cm-line', { hasText: line }).first().click();
    await page.keyboard.press('End');
    await page.keyboard.press('Shift+Home');
    await page.keyboard.insertText(text);
    await page.keyboard.press('Home');
  };
  await replace('"ai_generation": { "day": 20', '"ai_generation": { "day": 10, "month": 60 },');
  await page.getByRole('button', { name: 'Against what holds' }).click();
  await page.getByText('amount: 200 → 60').first().waitFor();
  await page.locator('.cm-scroller').evaluate((element) => element.scrollTo(0, 0));
});
await browser.close();
await studio.close();
await client.end();
await admin.end();
await stop();
