/** A populated installation is spread: nothing is lost, nothing is counted twice, twice is once. */
import assert from 'node:assert/strict';
import { withClient } from '../../scripts/local/client.ts';
import { measure } from './measure.ts';
import type { Spread } from './nodes.ts';
import { check } from './report.ts';

export const PLANS = {
  features: {
    chat: { alerts: [10, 50] },
    race: {},
    token: { costs: { credit: '1/10' } },
    credit: {},
    file: { kind: 'gauge' },
    job: {},
    window: {},
    sso: { kind: 'switch' },
  },
  plans: {
    free: {
      default: true,
      limits: {
        chat: { month: 50 },
        race: { month: 100, minute: 1000 },
        credit: { month: { limit: 100, mode: 'soft', ceiling: 200 } },
        file: { lifetime: 5 },
        job: { day: { limit: 10, rollover: 5 } },
        window: { '5 hours': 3 },
      },
      values: { sso: true },
    },
    pro: { limits: { chat: { month: null } } },
  },
};

/** What citus.sql makes, on one node: where tables are, functions, views and rights. */
const STATE = `
  select md5(string_agg(t, ' ' order by t)) as state from (
    select p.oid::regprocedure::text || md5(p.prosrc) || p.proowner::regrole || p.proconfig::text
        || (select string_agg(a::text, ',' order by a::text) from unnest(p.proacl) as a)
      from pg_proc as p where p.pronamespace in ('quota'::regnamespace, 'public'::regnamespace)
    union all
    select c.relname::text || c.relkind::text || c.relowner::regrole || coalesce(c.relacl::text, '')
      from pg_class as c
      where c.relnamespace in ('quota'::regnamespace, 'public'::regnamespace) and c.relkind in ('r', 'v', 'f')
    union all
    select d.logicalrelid::text || d.partmethod::text || d.colocationid from pg_dist_partition as d
    union all
    select conrelid::regclass::text || conname || pg_get_constraintdef(oid) from pg_constraint
      where conrelid in (select logicalrelid from pg_dist_partition)
    union all
    select tablename::text || policyname from pg_policies
      where schemaname = 'quota' and to_regclass('quota.' || tablename) in (select logicalrelid from pg_dist_partition)
  ) as s (t)`;

const COUNTS = `
  select (select count(*)::int from quota.events) as events, (select sum(used)::int from quota.meters) as used,
    (select count(*)::int from quota.counters) as counters, (select count(*)::int from quota.subjects) as subjects,
    (select count(*)::int from public.verify_usage()) as differences`;

export async function checkMove(spread: Spread): Promise<void> {
  const nodes = [spread.url, ...spread.workers];
  const counts = () =>
    withClient(spread.url, async (client) => (await client.query(COUNTS)).rows[0]);
  const states = () =>
    Promise.all(
      nodes.map((node) =>
        withClient(node, async (client) => (await client.query(STATE)).rows[0].state as string),
      ),
    );
  const before = await withClient(spread.url, async (client) => {
    await client.query('set role service_role');
    await client.query('select public.apply_plans($1)', [JSON.stringify(PLANS)]);
    await client.query(`
      select public.consume_usage('chat', n % 3 + 1, 's' || n % 500) from generate_series(1, 2000) as n;
      select public.set_parent('s1', 'org'), public.add_member('org', 's2');
      select public.grant_usage('job', 5, 's3'), public.reserve_usage('chat', 1, 's4')`);
    await measure(spread, 'one node');
    await client.query('reset role');
    return (await client.query(COUNTS)).rows[0];
  });
  await check(
    'a populated installation is spread, and every number stays what it was',
    async () => {
      const start = Date.now();
      assert.equal(await spread.spread(), '');
      assert.deepEqual(await counts(), before);
      assert.equal(before.differences, 0);
      return `${before.events} lines, ${((Date.now() - start) / 1000).toFixed(1)} s`;
    },
  );
  await check('verify_installation() names nothing of what citus.sql changed', () =>
    withClient(spread.url, async (client) => {
      const { rows } = await client.query('select * from public.verify_installation()');
      assert.deepEqual(rows, []);
      await client.query('alter function quota.consume_usage reset search_path');
      const { rows: found } = await client.query(
        'select object, statement from public.verify_installation()',
      );
      assert.equal(found.length, 1);
      await client.query(found[0].statement);
      assert.deepEqual((await client.query('select * from public.verify_installation()')).rows, []);
      return undefined;
    }),
  );
  await check('the rows are on the workers', () =>
    withClient(spread.url, async (client) => {
      const { rows } = await client.query(`
        select count(distinct nodename || nodeport)::int as nodes from citus_shards
        where table_name = 'quota.events'::regclass`);
      assert.equal(rows[0].nodes, spread.workers.length);
      return `${rows[0].nodes} of them`;
    }),
  );
  await check('a second time it changes nothing, on no node', async () => {
    const once = await states();
    assert.equal(await spread.spread(), '');
    assert.deepEqual(await states(), once);
    return undefined;
  });
  await check(
    'whoever reads sees the same functions, views and rights on each worker',
    async () => {
      const [, ...workers] = await states();
      assert.equal(new Set(workers).size, 1);
      return undefined;
    },
  );
}
