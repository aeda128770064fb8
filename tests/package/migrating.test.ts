/** Runs the SQL of the guide as it stands there, on the tables that it speaks of. */
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { callAndWaitBlocked } from '../support/blocking.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { startRest } from '../support/rest.ts';
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

test('every snippet that brings months in says that they are months, also when there are none', () => {
  const snippets = readFileSync(fromRoot('docs/migrating.md'), 'utf8').split('quota.import_usage(');
  const [, ...imports] = snippets.map((text) => text.slice(0, text.indexOf(')) as r')));
  expect(imports).toHaveLength(4);
  for (const sql of imports) {
    expect(sql).toMatch(/'month' as period|c\.period,/);
    expect(sql).toContain(`coalesce(jsonb_agg(t), '[]')`);
  }
});

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
    )`;
    const once = () => asUser(client, ADA, (session) => session.query(call, [ADA]));
    for (let n = 33; n <= 50; n++) await once();
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

  test('who knows the function from before goes on: PostgREST with its old schema, prepared statements', async () => {
    await client.query(`
      grant execute on function public.increment_usage to service_role;
      grant select, insert, update on public.usage_tracking to service_role`);
    const rest = await startRest(database);
    try {
      const service = rest.asService();
      const overRest = () =>
        service.rpc('increment_usage', {
          p_user_id: ADA,
          p_type: 'ai_generation',
          p_period_start: '2026-11-01T00:00:00Z',
          p_period_end: '2026-12-01T00:00:00Z',
        });
      const prepared = await database.connect();
      const asBefore = () =>
        prepared.query({
          name: 'as before',
          text: `select public.increment_usage($1, 'ai_generation', $2, $3)`,
          values: [ADA, '2026-11-01Z', '2026-12-01Z'],
        });
      expect((await overRest()).status).toBe(204);
      await asBefore();

      await client.query(withDropIn(change));
      await client.query(`
        create function public.made_since() returns integer language sql as 'select 1';
        grant execute on function public.made_since to service_role`);
      expect((await service.rpc('made_since')).error, 'the schema is the old one').toMatchObject({
        code: 'PGRST202',
      });
      expect((await overRest()).status).toBe(204);
      await asBefore();
      // The old function added to both rows of the month: 32 + 2 × 2, and two since.
      expect(await used(ADA)).toEqual([{ feature: 'ai_generation', used: 38, limit: 50 }]);
      for (let n = 39; n <= 50; n++) await asBefore();
      expect((await overRest()).status).toBe(402);
      await expect(asBefore()).rejects.toMatchObject({ code: 'PT402' });
      await expectSound();
    } finally {
      await rest.stop();
    }
  });

  test('over a function with other types the switch stops, and nothing has changed', async () => {
    await client.query(`
      drop function public.increment_usage;
      create function public.increment_usage(
        p_user_id text, p_type text, p_period_start timestamptz, p_period_end timestamptz,
        p_metadata jsonb default '{}'
      ) returns void language plpgsql as 'begin end'`);
    await expect(client.query(withDropIn(change))).rejects.toMatchObject({ code: '42723' });
    await client.query(`
      rollback;
      drop function public.increment_usage;
      create function public.increment_usage(
        p_user_id uuid, p_type text, p_period_start timestamptz, p_period_end timestamptz,
        p_metadata jsonb default '{}'
      ) returns integer language plpgsql as 'begin return 1; end'`);
    await expect(client.query(withDropIn(change))).rejects.toMatchObject({ code: '42P13' });
    await client.query('rollback');
    expect(await rows('select from public.usage_tracking')).toHaveLength(5);
    expect(await rows('select from quota.events')).toEqual([]);
  });

  test('an app that has counted nothing yet switches as well', async () => {
    await client.query('truncate public.usage_tracking');
    expect(await rows(rehearsal)).toEqual([]);
    await client.query(withDropIn(change));
  });

  test("a month that is none of the subject's is told of, and lands nowhere", async () => {
    await client.query(`select public.set_plan($1, 'free', anchor => '2026-10-15Z')`, [ADA]);
    const rejected = await rows(rehearsal);
    expect(rejected.map(({ subject, feature }) => [subject, feature])).toEqual([
      [ADA, 'ai_generation'],
      [ADA, 'ai_generation'],
    ]);
    expect(rejected[1].problem).toContain('2026-10-15T00:00:00Z');
    await client.query(withDropIn(change));
    expect(await used(ADA)).toEqual([]);
    expect(await used(EVE)).toEqual([{ feature: 'ai_generation', used: 77, limit: 50 }]);
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
  const NEW = '00000000-0000-4000-8000-00000000000c';
  const RICH = '00000000-0000-4000-8000-00000000000d';
  const OVER = '00000000-0000-4000-8000-00000000000f';
  beforeEach(async () => {
    await client.query(`
      create table public.profiles (id uuid primary key, credits_left integer, tokens_left integer);
      revoke all on public.profiles from anon, authenticated;
      insert into public.profiles values
        ('${ADA}', 30, 500), ('${EVE}', 1200, 0),
        ('${NEW}', 40, 7), ('${RICH}', 170, 0), ('${OVER}', -5, 0);`);
    // The others were never seen: they are on the default plan, and no view lists them.
    await client.query(`select public.set_plan($1, 'free'), public.set_plan($2, 'pro')`, [
      ADA,
      EVE,
    ]);
  });

  const left = async (feature: string, subject: string) =>
    (
      await rows('select remaining::integer from public.check_usage($1, 1, $2)', [feature, subject])
    )[0].remaining;
  const leftToAll = async (feature: string) => {
    const found = [];
    for (const subject of [ADA, EVE, NEW, RICH, OVER]) found.push(await left(feature, subject));
    return found;
  };

  test('refilled each month: what is gone was used, what is more was bought, for whoever was seen or not', async () => {
    await client.query(refilled);
    expect(await leftToAll('credit')).toEqual([30, 1200, 40, 170, 0]);
    expect(await used(OVER)).toEqual([{ feature: 'credit', used: 105, limit: 100 }]);
    await expectSound();
    await client.query(refilled);
    expect(await leftToAll('credit')).toEqual([30, 1200, 40, 170, 0]);
    await setClock(client, '2026-12-02T12:00:00Z');
    expect(await leftToAll('credit')).toEqual([100, 1200, 100, 170, 100]);
  });

  test('what a plan without credits leaves over is kept for the plan that has them', async () => {
    const { credit: _, ...limits } = PLANS.plans.free.limits;
    await applyPlans(client, {
      ...PLANS,
      plans: { ...PLANS.plans, free: { ...PLANS.plans.free, limits } },
    });
    await client.query(refilled);
    expect(await left('credit', NEW)).toBe(0);
    await client.query(`select public.set_plan($1, 'pro')`, [NEW]);
    expect(await left('credit', NEW)).toBe(1040);
    await expectSound();
  });

  test('nobody has used anything: what is more is taken over all the same', async () => {
    await client.query(`delete from public.profiles where credits_left < 1200`);
    await client.query(refilled);
    expect(await left('credit', EVE)).toBe(1200);
  });

  test('bought and never refilled: all of it is a grant, given once', async () => {
    await client.query(bought);
    await client.query(bought);
    expect(await leftToAll('token')).toEqual([500, 0, 7, 0, 0]);
    await setClock(client, '2026-12-02T12:00:00Z');
    expect(await left('token', ADA)).toBe(500);
    await expectSound();
  });
});
