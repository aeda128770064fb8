/** Runs the SQL of the guide as it stands there, on the tables that it speaks of. */
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { callAndWaitBlocked } from '../support/blocking.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { asService, asUser } from '../support/session.ts';

const ADA = '00000000-0000-4000-8000-00000000000a';
const EVE = '00000000-0000-4000-8000-00000000000e';

const PLANS = {
  features: { ai_generation: {}, export: {}, credit: {}, token: {} },
  plans: {
    free: {
      default: true,
      limits: {
        ai_generation: { month: 50 },
        export: { month: 5 },
        credit: { month: 100 },
        token: { lifetime: 0 },
      },
    },
    pro: {
      limits: { ai_generation: { month: null }, credit: { month: 1000 }, token: { lifetime: 0 } },
    },
  },
};

/** The guide's SQL blocks below a heading, in their order. */
function blocksBelow(heading: string): string[] {
  const guide = readFileSync(fromRoot('docs/migrating.md'), 'utf8');
  const section = guide.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(/^```sql\n(.*?)^```/gms)].map(([, sql]) => sql as string);
}

const DROP_IN = readFileSync(fromRoot('sql/optional/increment_usage.sql'), 'utf8');
const withDropIn = (sql: string) => {
  const place = /^-- here the text of .*$/m;
  if (!place.test(sql)) throw new Error(`No place for the drop-in function in:\n${sql}`);
  return sql.replace(place, () => DROP_IN);
};

let database: TestDatabase;
let client: pg.Client;

beforeEach(async () => {
  database = await createDatabase();
  client = await database.connect();
  await setClock(client, '2026-11-20T12:00:00Z');
  await applyPlans(client, PLANS);
});
afterEach(() => database.drop());

const rows = async (sql: string, parameters: unknown[] = []) =>
  (await client.query(sql, parameters)).rows;

const used = async (subject: string) =>
  rows(
    `select feature, used::integer, "limit"::integer as limit from public.current_usage
     where subject = $1 and used > 0 order by feature`,
    [subject],
  );

async function expectSound(): Promise<void> {
  const [mismatches, full] = blocksBelow('Afterwards').join('').split('\n\n');
  expect(await rows(mismatches as string)).toEqual([]);
  await client.query(full as string);
}

describe('plans', () => {
  beforeEach(async () => {
    await client.query(`
      create table public.profiles (id uuid primary key, plan text, billing_day timestamptz, username text);
      insert into public.profiles values
        ('${ADA}', 'pro', '2026-10-15T00:00:00+02'), ('${EVE}', null, null);`);
  });
  const planOf = async (subject: string) =>
    (await rows('select plan from public.check_usage($1, 1, $2)', ['ai_generation', subject]))[0]
      .plan;

  test('a table is followed from its present rows on', async () => {
    const [close = '', follow = ''] = blocksBelow('Plans');
    await expect(client.query(follow)).rejects.toMatchObject({ code: '42501' });
    await client.query(close);
    await client.query(follow);
    expect(await planOf(ADA)).toBe('pro');
    expect(await planOf(EVE)).toBe('free');
    await client.query(`update public.profiles set plan = 'pro' where id = '${EVE}'`);
    expect(await planOf(EVE)).toBe('pro');
  });

  test('a table with other names for the plans is translated', async () => {
    await client.query(`update public.profiles set plan = upper(plan)`);
    const [close = '', follow = '', translate = ''] = blocksBelow('Plans');
    await client.query(close);
    await expect(client.query(follow)).rejects.toMatchObject({ code: 'QPLAN' });
    await client.query(translate);
    expect(await planOf(ADA)).toBe('pro');
    await client.query(`update public.profiles set plan = 'FREE' where id = '${ADA}'`);
    expect(await planOf(ADA)).toBe('free');
  });

  test('billing day and time zone decide where imported use counts', async () => {
    const [, , , anchors = ''] = blocksBelow('Plans');
    await client.query(anchors);
    const { rows: found } = await client.query(
      `select subject_id, time_zone, anchor_at from quota.subjects`,
    );
    expect(found).toEqual([
      { subject_id: ADA, time_zone: 'Europe/Berlin', anchor_at: new Date('2026-10-14T22:00:00Z') },
    ]);
  });
});

describe('a table of counts per user, type and period', () => {
  const [rehearsal = '', change = ''] = blocksBelow('A table of counts per user, type and period');

  beforeEach(async () => {
    await client.query(`
      create table public.usage_tracking (
        id uuid primary key default gen_random_uuid(),
        user_id uuid not null,
        type text not null,
        count integer not null default 0,
        period_start timestamptz not null,
        period_end timestamptz not null,
        metadata jsonb not null default '{}'
      );
      insert into public.usage_tracking (user_id, type, count, period_start, period_end) values
        ('${ADA}', 'ai_generation', 40, '2026-10-01Z', '2026-11-01Z'),
        ('${ADA}', 'ai_generation', 30, '2026-11-01Z', '2026-12-01Z'),
        ('${ADA}', 'ai_generation', 2, '2026-11-01Z', '2026-12-01Z'),
        ('${EVE}', 'ai_generation', 77, '2026-11-01Z', '2026-12-01Z'),
        ('${EVE}', 'export', 0, '2026-11-01Z', '2026-12-01Z');
      create function public.increment_usage(
        p_user_id uuid, p_type text, p_period_start timestamptz, p_period_end timestamptz,
        p_metadata jsonb default '{}'
      ) returns void language plpgsql as $$
      begin
        update public.usage_tracking set count = count + 1
          where user_id = p_user_id and type = p_type and period_start = p_period_start;
      end $$;`);
  });

  test('the rehearsal lists what does not fit, and writes nothing', async () => {
    expect(await rows(rehearsal)).toEqual([]);
    await client.query(`
      insert into public.usage_tracking (user_id, type, count, period_start, period_end) values
        ('${ADA}', 'fax', 1, '2026-11-01Z', '2026-12-01Z'),
        ('${ADA}', 'export', -1, '2026-11-01Z', '2026-12-01Z'),
        ('${ADA}', 'export', 1, '2027-01-01Z', '2027-02-01Z')`);
    const rejected = await rows(rehearsal);
    expect(rejected.map(({ feature, action }) => [feature, action])).toEqual([
      ['export', 'reject'],
      ['export', 'reject'],
      ['fax', 'reject'],
    ]);
    expect(await rows('select from quota.events')).toEqual([]);
  });

  test('the switch brings in open and closed periods, also over the limit', async () => {
    await client.query(withDropIn(change));
    expect(await used(ADA)).toEqual([{ feature: 'ai_generation', used: 32, limit: 50 }]);
    expect(await used(EVE)).toEqual([{ feature: 'ai_generation', used: 77, limit: 50 }]);
    const history = await rows(
      `select used::integer from public.usage_history
       where subject = $1 and feature = 'ai_generation' and period_start = '2026-10-01Z'`,
      [ADA],
    );
    expect(history).toEqual([{ used: 40 }]);
    await expectSound();
  });

  test('importing again counts nothing twice', async () => {
    await client.query(withDropIn(change));
    await client.query(
      'drop function public.increment_usage(text, text, timestamptz, timestamptz, jsonb)',
    );
    await client.query('alter table public.usage_tracking_before rename to usage_tracking');
    await client.query(withDropIn(change));
    expect(await used(ADA)).toEqual([{ feature: 'ai_generation', used: 32, limit: 50 }]);
    await expectSound();
  });

  test('old callers go on with the same arguments, counted by our clock and limits', async () => {
    await client.query(withDropIn(change));
    const call = `select public.increment_usage(
      p_user_id => $1, p_type => 'ai_generation',
      p_period_start => '2020-01-01Z', p_period_end => '2020-02-01Z', p_metadata => '{"old": true}'
    )::integer as used`;
    const once = () =>
      asUser(client, ADA, async (session) => (await session.query(call, [ADA])).rows[0].used);
    for (let expected = 33; expected <= 50; expected++) expect(await once()).toBe(expected);
    await expect(once()).rejects.toMatchObject({ code: 'PT402' });
    await expect(
      asUser(client, ADA, (session) => session.query(call, [EVE])),
    ).rejects.toMatchObject({ code: '42501' });
    await expect(asService(client, (session) => session.query(call, [EVE]))).rejects.toMatchObject({
      code: 'PT402',
    });
    expect(await used(ADA)).toEqual([{ feature: 'ai_generation', used: 50, limit: 50 }]);
    await expectSound();
  });

  test('a caller that waits during the switch fails, and is not counted where nobody looks', async () => {
    const caller = await database.connect();
    const increment = `select public.increment_usage('${ADA}', 'ai_generation', '2026-11-01Z', '2026-12-01Z')`;
    await caller.query(increment); // its plan is in the session's cache now
    const [before = '', after = ''] = withDropIn(change).split(/^(?=commit;)/m);
    await client.query(before);
    const observer = await database.connect();
    const { result } = await callAndWaitBlocked(observer, caller, increment);
    const outcome = expect(result).rejects.toMatchObject({ code: '42P01' });
    await client.query(after);
    await outcome;
    expect(await used(ADA)).toEqual([{ feature: 'ai_generation', used: 34, limit: 50 }]);
    expect(
      await rows(`select sum(count)::integer as sum from public.usage_tracking_before
        where user_id = '${ADA}' and period_start = '2026-11-01Z'`),
    ).toEqual([{ sum: 34 }]);
  });
});

test('a counter per month as text becomes a row per feature', async () => {
  await client.query(`
    create table public.monthly_usage (user_id uuid, month text, ai_generations integer, exports integer);
    insert into public.monthly_usage values
      ('${ADA}', '2026-10', 12, 0), ('${ADA}', '2026-11', 7, 3), ('${EVE}', '2026-11', 0, null);`);
  const [bringIn = ''] = blocksBelow('A counter per month as text');
  expect((await rows(bringIn)).map(({ action }) => action)).toEqual(['import', 'import', 'import']);
  expect(await used(ADA)).toEqual([
    { feature: 'ai_generation', used: 7, limit: 50 },
    { feature: 'export', used: 3, limit: 5 },
  ]);
  expect(await used(EVE)).toEqual([]);
  await expectSound();
});

describe('a column of credits left', () => {
  const [refilled = '', bought = ''] = blocksBelow('A column of credits left');
  beforeEach(async () => {
    await client.query(`
      create table public.profiles (id uuid primary key, plan text, credits_left integer, tokens_left integer);
      revoke all on public.profiles from anon, authenticated;
      insert into public.profiles values ('${ADA}', 'free', 30, 500), ('${EVE}', 'pro', 1200, 0);`);
    await client.query(`select quota.follow_plan('public.profiles', 'id', 'plan')`);
  });

  const left = async (feature: string, subject: string) =>
    (
      await rows('select remaining::integer from public.check_usage($1, 1, $2)', [feature, subject])
    )[0].remaining;

  test('refilled each month: what is gone was used, what is more was bought', async () => {
    await client.query(refilled);
    expect(await left('credit', ADA)).toBe(30);
    expect(await left('credit', EVE)).toBe(1200);
    await expectSound();
    await setClock(client, '2026-12-02T12:00:00Z');
    expect(await left('credit', ADA)).toBe(100);
    expect(await left('credit', EVE)).toBe(1200);
  });

  test('bought and never refilled: all of it is a grant, given once', async () => {
    await client.query(bought);
    await client.query(bought);
    expect(await left('token', ADA)).toBe(500);
    expect(await left('token', EVE)).toBe(0);
    await setClock(client, '2026-12-02T12:00:00Z');
    expect(await left('token', ADA)).toBe(500);
    await expectSound();
  });
});
