// Credits over HTTP, and docs/credits.md: its document and its transcripts, as they stand there.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { blocksOf } from '../support/page.ts';
import { applyPlans } from '../support/plans.ts';
import { must, NOON, startTestApi, type TestApi } from './api.ts';

const page = blocksOf('docs/credits.md');
let api: TestApi;

beforeAll(async () => {
  api = await startTestApi();
  await applyPlans(api.owner, JSON.parse(page('json')[0] as string));
});
afterAll(() => api.stop());

/** A statement and the table that is said to come of it. */
const transcripts = page('sql')
  .join('\n')
  .split(/\n\n/)
  .map((text) => {
    const [names = '', , ...rows] = text
      .split('\n')
      .filter((line) => line.startsWith('--'))
      .map((line) => line.slice(3));
    const cells = (line: string) => line.split('|').map((cell) => cell.trim());
    return {
      sql: text.split('\n--')[0] as string,
      expected: rows.map((row) =>
        Object.fromEntries(cells(names).map((name, at) => [name, cells(row)[at]])),
      ),
    };
  });

test('docs/credits.md comes to what it shows', async () => {
  expect(transcripts.length).toBeGreaterThan(7);
  for (const { sql, expected } of transcripts) {
    const { rows } = await api.owner.query(sql);
    const shown = rows.map((row: Record<string, unknown>) =>
      Object.fromEntries(
        Object.entries(row).map(([name, value]) => [
          name,
          typeof value === 'boolean'
            ? value
              ? 't'
              : 'f'
            : `${Array.isArray(value) ? `{${value}}` : value}`,
        ]),
      ),
    );
    expect({ sql, rows: shown }).toEqual({ sql, rows: expected });
  }
});

test('a pool with three priced features, and a refund after the month turned', async () => {
  const service = api.rest.asService();
  const user = api.rest.asUser('bob');
  const consume = async (feature: string, amount: number) =>
    must(await user.rpc('consume_usage', { feature, amount }));
  const pool = async (subject = 'bob') =>
    must(
      await service
        .from('current_usage')
        .select('used, remaining')
        .eq('subject', subject)
        .eq('feature', 'credit')
        .single(),
    );

  await consume('image', 3);
  await consume('ai_token', 20_000);
  const { event_id } = await consume('video_second', 10);
  expect(await pool()).toEqual({ used: 75, remaining: 25 });
  const refused = await consume('video_second', 11);
  expect(refused).toMatchObject({
    allowed: false,
    limiting_feature: 'credit',
    limiting_subject: 'bob',
    limiting_member: null,
    remaining: 25,
  });
  const { error, status } = await user.rpc('enforce_usage', {
    feature: 'video_second',
    amount: 11,
  });
  expect([status, error?.code]).toEqual([402, 'PT402']);

  await setClock(api.owner, '2026-02-03T12:00:00Z');
  expect(await pool()).toEqual({ used: 0, remaining: 100 });
  const refund = must(await service.rpc('refund_usage', { event_id }));
  expect(refund).toMatchObject({ amount: 10, limiting_feature: 'credit', used: 0, remaining: 100 });
  // In the month of the use, and not a unit in this one.
  const { data } = await user
    .from('usage_history')
    .select('used')
    .eq('feature', 'credit')
    .lt('period_start', '2026-02-01');
  expect(data).toEqual([{ used: 50 }]);
  expect(await pool()).toEqual({ used: 0, remaining: 100 });
  expect(must(await service.rpc('verify_usage'))).toEqual([]);
  await setClock(api.owner, NOON);
});
