// Somebody holds a subject's row open: over HTTP that costs this subject an error, and others nothing.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { must, startTestApi, type TestApi } from './api.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

test('calls of a held subject end with 55P03, while the pool goes on to serve other subjects', async () => {
  const holder = await api.database.connect();
  await holder.query('begin');
  await holder.query(`select public.consume_usage('export', 1, 'held')`);

  // More than PostgREST has connections (10).
  const held = api.rest.asUser('held');
  const stuck = Array.from({ length: 12 }, () => held.rpc('consume_usage', { feature: 'export' }));
  const stuckAnswers = Promise.all(stuck);
  const served = await Promise.all(
    Array.from({ length: 30 }, (_, at) =>
      api.rest.asUser(`other-${at}`).rpc('consume_usage', { feature: 'export' }),
    ),
  );
  expect(served.map((answer) => must(answer).used)).toEqual(served.map(() => 1));
  for (const { status, error } of await stuckAnswers) {
    expect([status, error?.code]).toEqual([500, '55P03']);
  }

  await holder.query('commit');
  expect(must(await held.rpc('consume_usage', { feature: 'export' }))).toMatchObject({ used: 2 });
});

test('reading goes on while a row is held', async () => {
  const holder = await api.database.connect();
  await holder.query('begin');
  await holder.query(`select public.consume_usage('export', 3, 'read')`);
  const user = api.rest.asUser('read');
  expect(must(await user.rpc('check_usage', { feature: 'export' }))).toMatchObject({ used: 0 });
  const rows = must(await user.from('current_usage').select('used').eq('feature', 'export'));
  expect(rows).toEqual([{ used: 0 }]);
  await holder.query('rollback');
});
