/**
 * A product with customers: what the studio is tried on. Instants are counted back from a moment that the
 * clock of the database is set to, so that "blocked at 10:42" means the same on every day.
 */
import type pg from 'pg';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';

export const PLANS = {
  features: {
    ai_generation: { name: 'AI generations', unit: 'generation' },
    export: { name: 'Exports', unit: 'export' },
    kb_file: { name: 'Knowledge base files', unit: 'file', kind: 'gauge' },
    sso: { name: 'Single sign-on', kind: 'switch' },
    max_context: { name: 'Context', unit: 'token', kind: 'value' },
  },
  plans: {
    free: {
      name: 'Free',
      default: true,
      upgrade_url: '/settings/billing',
      limits: {
        ai_generation: { day: 20, month: 200 },
        export: { month: 5 },
        kb_file: { lifetime: 10 },
      },
      values: { max_context: 8000 },
    },
    pro: {
      name: 'Pro',
      limits: {
        ai_generation: { month: 2000 },
        export: { month: { limit: 100, mode: 'shadow' } },
        kb_file: { lifetime: 500 },
      },
      per_member: { ai_generation: { month: 800 } },
      values: { sso: true, max_context: 200000 },
    },
  },
};

/** On a Thursday, early in the afternoon; Maya was blocked at 10:42 of that day. */
export const NOW = '2026-11-26T13:20:00Z';
export const BLOCKED = '2026-11-26T10:42';

export async function prepareGround(client: pg.Client): Promise<void> {
  await setClock(client, '2026-11-01T09:00:00Z');
  await applyPlans(client, PLANS);
  const use = (subject: string, feature: string, amount: number, more = '') =>
    client.query(`select public.consume_usage($1, $2, $3${more})`, [feature, amount, subject]);
  await client.query(`select public.set_plan('acme', 'pro', reason => 'signed in October')`);
  await client.query(`select public.add_member('acme', 'lena'), public.add_member('acme', 'omar')`);
  await client.query(`select public.set_parent('acme/design', 'acme')`);
  for (const day of [3, 5, 9, 12, 16, 18, 20, 23, 24, 25]) {
    const at = `2026-11-${String(day).padStart(2, '0')}T`;
    await setClock(client, `${at}08:00:00Z`);
    await use('maya', 'ai_generation', 4 + (day % 7));
    await setClock(client, `${at}11:30:00Z`);
    await use('acme', 'ai_generation', 40 + ((day * 13) % 60), `, actor => 'lena'`);
    await use('acme', 'export', 8 + (day % 5), `, actor => 'omar'`);
  }
  await client.query(
    `select public.grant_usage('export', 10, 'maya', metadata => '{"reason": "launch week"}')`,
  );
  // The day itself: Maya's twenty are used up at 10:31, in what the product calls a batch that went wrong.
  const hours: [time: string, subject: string, feature: string, amount: number][] = [
    ['07:10', 'acme', 'ai_generation', 60],
    ['08:05', 'maya', 'ai_generation', 3],
    ['09:40', 'maya', 'ai_generation', 5],
    ['10:05', 'nils', 'ai_generation', 17],
    ['10:31', 'maya', 'ai_generation', 12],
    ['11:00', 'acme', 'export', 30],
    ['12:20', 'nils', 'export', 4],
    ['12:50', 'ruth', 'kb_file', 9],
  ];
  for (const [time, subject, feature, amount] of hours) {
    await setClock(client, `2026-11-26T${time}:00Z`);
    await use(subject, feature, amount);
  }
  await setClock(client, '2026-11-26T12:55:00Z');
  await client.query(
    `select public.reserve_usage('ai_generation', 5, 'acme', '6 hours', actor => 'lena')`,
  );
  await setClock(client, '2026-11-26T13:05:00Z');
  await client.query(`select public.reserve_usage('ai_generation', 2, 'nils')`);
  await setClock(client, NOW);
}

/**
 * Thousands more who used exports this month, written as calls would have left them, a line each: every
 * twentieth is near its five.
 */
export async function addCrowd(client: pg.Client, subjects: number): Promise<void> {
  await client.query(
    `with crowd as materialized (
       select 'user-' || lpad(n::text, 6, '0') as id, 1 + n % 3 + case when n % 20 = 0 then 2 + n % 40 / 20 else 0 end as used,
         timestamptz '2026-11-26T12:00Z' - n * interval '7 seconds' as at
       from generate_series(1, $1::int) as n
     ),
     known as (insert into quota.subjects (subject_id) select id from crowd),
     metered as (
       insert into quota.meters (subject_id, feature_id, used, counted_until)
       select id, 'export', used, at from crowd
     ),
     counted as (
       insert into quota.counters
         (subject_id, feature_id, period, period_start, period_end,
          used_before, reserved_before, drawn_before, last_limit, own, passed)
       select id, 'export', 'month', '2026-11-01Z', '2026-12-01Z', 0, 0, 0, 5, 5,
         quota.mark_of(used, 0, 5, '{80, 100}')
       from crowd
     )
     insert into quota.events (subject_id, event_id, at, kind, feature_id, counts_at, used_change)
     select id, quota.new_id(at), at, 'consume', 'export', at, used from crowd`,
    [subjects],
  );
  await client.query('analyze quota.subjects, quota.meters, quota.counters, quota.events');
}
