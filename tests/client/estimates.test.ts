/**
 * The planner's estimates are made without policies, and `Prefer: count=planned` hands them out: they
 * must say the same of every other subject. And the reads they lead to must stay short.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asUser } from '../support/session.ts';
import { startTestApi, type TestApi } from './api.ts';

let api: TestApi;
let token: string;

/** 120,000 lines: 40,000 of a whale's, 5,000 of the caller's, few of 15,000 others. */
beforeAll(async () => {
  api = await startTestApi();
  token = await api.rest.userToken('alice');
  await api.owner.query(`
    -- Estimates are compared: a vacuum between two looks would give the second other numbers.
    do $$
    declare
      v_table regclass;
    begin
      for v_table in
        select oid from pg_class where relnamespace = 'quota'::regnamespace and relkind = 'r'
      loop
        execute format('alter table %s set (autovacuum_enabled = false)', v_table);
      end loop;
    end $$;
    insert into quota.subjects (subject_id)
      select 's' || n from generate_series(1, 15000) as n
      union all values ('alice'), ('whale');
    insert into quota.events
      (subject_id, event_id, at, kind, feature_id, counts_at, used_change, actor, idempotency_key)
      select
        case when n <= 40000 then 'whale' when n <= 45000 then 'alice' else 's' || n % 15000 end,
        gen_random_uuid(), timestamptz '2026-01-01Z' + n * interval '5 seconds',
        case when n <= 40000 then 'batch' else 'consume' end, 'export',
        timestamptz '2026-01-01Z' + n * interval '5 seconds', case when n % 3 = 0 then 777 else 1 end,
        case when n <= 30000 then 'bob' end,
        case when n % 2 = 0 then 'invoice' || case when n > 45000 then n % 3 end || n end
      from generate_series(1, 120000) as n;
    insert into quota.counters
      (subject_id, feature_id, period, period_start, period_end, used, reserved, drawn, last_limit,
       used_before, reserved_before, drawn_before)
      select case when n <= 3000 then 'whale' when n <= 3100 then 'alice' else 's' || n end,
        'export', 'day', timestamptz '2026-01-01Z' + n * interval '1 day',
        timestamptz '2026-01-02Z' + n * interval '1 day', n % 7, 0, 0, 100, 0, 0, 0
      from generate_series(1, 15000) as n;
    insert into quota.alerts
      (subject_id, feature_id, period, period_start, threshold, at, used, amount, alert_id)
      select case when n <= 3000 then 'whale' else 's' || n end, 'export', 'day',
        timestamptz '2026-01-01Z' + n * interval '1 day', 80, timestamptz '2026-01-01Z', 80, 100, gen_random_uuid()
      from generate_series(1, 10000) as n;
    insert into quota.overages (subject_id, event_id, period, feature_id, counts_at, mode, units)
      select case when n <= 3000 then 'whale' else 's' || n end, gen_random_uuid(), 'day', 'export',
        timestamptz '2026-01-01Z', 'soft', 1
      from generate_series(1, 10000) as n;
    insert into quota.members (subject_id, user_id)
      select 'whale', 'u' || n from generate_series(1, 2000) as n;
    insert into quota.exceptions (subject_id, feature_id, period, amount)
      select 'whale', 'export', period, 5 from unnest(array['day', 'week', 'month']) as period;
    analyze`);
});
afterAll(() => api.stop());

const planned = async (query: string) => {
  const response = await fetch(`${api.rest.url}/rest/v1/${query}&limit=0`, {
    headers: {
      apikey: api.rest.anonKey,
      authorization: `Bearer ${token}`,
      prefer: 'count=planned',
    },
  });
  expect(response.status).toBeLessThan(300);
  return response.headers.get('content-range');
};

describe('the planned count', () => {
  test.each(['usage_events', 'usage_history', 'usage_alerts', 'current_usage'])(
    'of %s is the same for every other subject',
    async (view) => {
      const nobody = await planned(`${view}?subject=eq.nobody`);
      for (const other of ['whale', 's77']) {
        expect(await planned(`${view}?subject=eq.${other}`), other).toBe(nobody);
        expect(await planned(`${view}?feature=eq.export&subject=eq.${other}`)).toBe(
          await planned(`${view}?feature=eq.export&subject=eq.nobody`),
        );
        expect(await planned(`${view}?subject=in.(${other},nothing)`)).toBe(
          await planned(`${view}?subject=in.(nobody,nothing)`),
        );
      }
      expect(await planned(`${view}?subject=gte.w&subject=lt.x`)).toBe(
        await planned(`${view}?subject=gte.n&subject=lt.o`),
      );
    },
  );

  test.each([
    ['usage_events', 'idempotency_key', ['invoice2', 'invoice46002', 'never']],
    ['usage_events', 'actor', ['bob', 'nobody']],
    ['usage_events', 'kind', ['batch', 'consume', 'forget']],
    ['usage_events', 'used_change', ['777', '1', '123456']],
    ['usage_events', 'at', ['2026-01-01T00:00:05Z', '2030-01-01T00:00:00Z']],
    ['usage_history', 'used', ['3', '123456']],
    ['usage_history', 'limit', ['100', '123456']],
    ['usage_alerts', 'threshold', ['80', '12']],
    ['usage_alerts', 'used', ['80', '12']],
  ])('of %s by %s is the same for every value', async (view, column, values) => {
    const filter = (operator: string, value: string) =>
      column === 'limit'
        ? `${view}?and=(limit.${operator}.${value})`
        : `${view}?${column}=${operator}.${value}`;
    for (const operator of ['eq', 'gt']) {
      const counts = new Set<string | null>();
      for (const value of values) counts.add(await planned(filter(operator, value)));
      expect([...counts]).toHaveLength(1);
    }
  });
});

interface Node {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows'?: number;
  'Actual Loops'?: number;
  'Rows Removed by Filter'?: number;
  Plans?: Node[];
}
const nodesOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];
const scanOf = async (sql: string, table: string, user = 'alice'): Promise<Node[]> => {
  const { rows } = await asUser(api.owner, user, (client) =>
    client.query(`explain (analyze, format json) ${sql}`),
  );
  return nodesOf(rows[0]['QUERY PLAN'][0].Plan).filter(
    (node) => node['Relation Name'] === table && node['Actual Loops'] !== 0,
  );
};
const totalOf = (scans: Node[], key: 'Actual Rows' | 'Rows Removed by Filter') =>
  scans.reduce((sum, node) => sum + (node[key] ?? 0), 0);

describe('reads stay short', () => {
  test('a page of the own ledger is read by its index, and no line of another', async () => {
    const scans = await scanOf(
      `select * from public.usage_events where subject = 'alice' order by at desc limit 50`,
      'events',
    );
    const reading = scans.filter((scan) => scan['Actual Rows'] !== 0);
    expect(reading.map((scan) => scan['Node Type'])).toEqual(['Index Scan']);
    expect(totalOf(scans, 'Rows Removed by Filter')).toBe(0);
    expect(totalOf(scans, 'Actual Rows')).toBe(50);
  });

  test.each([
    ['usage_events', 'events', 5000],
    ['usage_history', 'counters', 100],
    ['usage_alerts', 'alerts', 0],
  ])('%s without a filter reads the own rows alone', async (view, table, most) => {
    const scans = await scanOf(`select * from public.${view}`, table);
    for (const scan of scans) expect(scan['Node Type']).not.toBe('Seq Scan');
    expect(totalOf(scans, 'Actual Rows')).toBeLessThanOrEqual(most);
    expect(totalOf(scans, 'Rows Removed by Filter')).toBe(0);
  });

  test('the server finds the lines of a key, and of a subject, by index', async () => {
    for (const filter of [`subject = 's77'`, `subject = 's77' and idempotency_key = 'never'`]) {
      const { rows } = await api.owner.query(
        `explain (analyze, format json) select * from public.usage_events where ${filter}`,
      );
      const types = nodesOf(rows[0]['QUERY PLAN'][0].Plan).map((node) => node['Node Type']);
      expect(types).not.toContain('Seq Scan');
    }
  });
});
