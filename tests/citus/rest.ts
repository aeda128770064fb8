/** PostgREST in front of a worker: a user sees itself, whatever node it asks. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { startApi } from '../../scripts/local/api.ts';
import { connectSupabase } from '../../scripts/local/supabase.ts';
import type { Spread } from './nodes.ts';
import { check } from './report.ts';

export async function checkRest(spread: Spread): Promise<void> {
  const api = await startApi({
    databaseUrl: spread.authenticatorOf(spread.workers[0] as string),
    jwtSecret: randomBytes(32).toString('hex'),
  });
  const as = (sub?: string) =>
    connectSupabase(api.url, api.anonKey, sub ? () => api.userToken(sub) : undefined);
  const server = connectSupabase(api.url, api.serviceRoleKey);
  const subjects = (rows: { subject: string }[] | null) => [
    ...new Set(rows?.map((row) => row.subject)),
  ];
  try {
    await check(
      'REST through a worker: a user counts for itself, and is told what is left',
      async () => {
        const { data, error } = await as('rita').rpc('consume_usage', { feature: 'chat' });
        assert.equal(error, null);
        assert.equal(data.allowed, true);
        assert.equal(data.remaining, 49);
        return undefined;
      },
    );
    for (const view of [
      'current_usage',
      'usage_events',
      'usage_history',
      'usage_alerts',
      'entitlements',
    ]) {
      await check(`REST through a worker: ${view} shows a user itself alone`, async () => {
        await as('rita').rpc('consume_usage', { feature: 'chat', amount: 5 });
        const own = await as('rita').from(view).select();
        assert.equal(own.error, null);
        assert.deepEqual(subjects(own.data), ['rita']);
        const other = await as('rita').from(view).select().eq('subject', 's1');
        assert.deepEqual(other.data, []);
        return undefined;
      });
    }
    await check('REST through a worker: a member sees its organisation, too', async () => {
      const { data, error } = await as('s2').from('current_usage').select();
      assert.equal(error, null);
      assert.deepEqual(subjects(data).sort(), ['org', 's2']);
      return undefined;
    });
    await check('REST through a worker: nobody else may, and not for others', async () => {
      assert.equal(
        (await as('rita').rpc('consume_usage', { feature: 'chat', subject: 's1' })).error?.code,
        '42501',
      );
      assert.equal((await as().rpc('consume_usage', { feature: 'chat' })).error?.code, '42501');
      assert.equal((await as().from('usage_overview').select()).error?.code, '42501');
      for (const view of ['citus_tables', 'citus_schemas'])
        assert.equal((await as().from(view).select()).error?.code, '42501', view);
      return undefined;
    });
    await check(
      'REST through a worker: the server reserves, commits and reads one subject',
      async () => {
        const { data: hold } = await server.rpc('reserve_usage', {
          feature: 'chat',
          subject: 'rita',
        });
        const { data, error } = await server.rpc('commit_usage', {
          reservation_id: hold.reservation_id,
          subject: 'rita',
        });
        assert.equal(error, null);
        assert.equal(data.allowed, true);
        const lines = await server.from('usage_events').select().eq('subject', 'rita');
        assert.ok((lines.data?.length ?? 0) >= 8);
        const near = await server.from('usage_overview').select().eq('subject', 'rita');
        assert.equal(near.error, null);
        return undefined;
      },
    );
    await check('REST through a worker: plans are public', async () => {
      const { data, error } = await as().from('plan_catalog').select();
      assert.equal(error, null);
      assert.ok((data?.length ?? 0) > 0);
      return undefined;
    });
  } finally {
    await api.stop();
  }
}
