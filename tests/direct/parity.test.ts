// pgquota/pg beside PostgREST: the same calls for two subjects, and the same answers to the letter.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as overRest from '../../types/index.ts';
import * as overSql from '../../types/pg.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans, SAMPLE_PLANS } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';

let database: TestDatabase;
let rest: Rest;
let owner: pg.Client;
let pool: pg.Pool;
let rows: overRest.UsageClient;
let sql: overSql.UsageClient;

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await setClock(owner, '2026-03-15T12:00:30.123456Z');
  await applyPlans(owner);
  rest = await startRest(database);
  pool = database.pool(5);
  rows = overRest.createUsageClient(rest.asService());
  sql = overSql.createUsageClient(pool);
});
afterAll(async () => {
  expect(await sql.verifyUsage()).toEqual([]);
  await rest.stop();
  await database.drop();
});

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

type Both = overRest.UsageCalls;

/** As text: field order, number or string, and how an instant is written count, too. */
async function told(usage: Both, subject: string, play: Play): Promise<string> {
  const lines: unknown[] = [];
  await play(usage, subject, (answer) => lines.push(answer ?? 'nothing'));
  return JSON.stringify(lines, null, 1).replaceAll(subject, 'S').replaceAll(UUID, 'uuid');
}

type Play = (usage: Both, subject: string, say: (answer: unknown) => void) => Promise<void>;

const PLAYS: Record<string, Play> = {
  'a use, a refusal, a batch': async (usage, subject, say) => {
    const generation = { feature: 'ai_generation', subject };
    say(await usage.checkUsage(generation));
    say(await usage.consumeUsage({ ...generation, amount: 3, idempotency_key: `${subject}-1` }));
    say(await usage.consumeUsage({ ...generation, amount: 3, idempotency_key: `${subject}-1` }));
    say(
      await usage.consumeUsage({ ...generation, amount: 20, metadata: { a: [1.5, null, 'ä"'] } }),
    );
    say(
      await usage.consumeUsageBatch({
        items: [{ feature: 'ai_generation', amount: 2 }, { feature: 'export' }],
        subject,
      }),
    );
    say(
      await usage.consumeUsageMany({
        calls: [{ feature: 'export' }, { feature: 'export', amount: 0 }, { feature: 'export' }],
        subject,
      }),
    );
    say(await usage.explainUsage({ ...generation, amount: 100 }));
  },
  'a hold, its beat, its commit, a refund, a release': async (usage, subject, say) => {
    const reserve = () =>
      usage.reserveUsage({ feature: 'export', subject, amount: 2, ttl: '5 minutes' });
    const hold = await reserve();
    say(hold);
    say(await usage.extendUsage({ reservation_id: hold.reservation_id as string, ttl: '1 hour' }));
    const committed = await usage.commitUsage({
      reservation_id: hold.reservation_id as string,
      amount: 1,
    });
    say(committed);
    say(await usage.refundUsage({ event_id: committed.event_id as string, reason: 'it failed' }));
    say(await usage.releaseUsage({ reservation_id: (await reserve()).reservation_id as string }));
  },
  'grants, plans, exceptions, members': async (usage, subject, say) => {
    const grant = await usage.grantUsage({
      feature: 'export',
      amount: 7,
      subject,
      expires_at: '2027-01-01T00:00:00+02:00',
    });
    say(grant);
    say(await usage.consumeUsage({ feature: 'export', amount: 6, subject }));
    say(await usage.resetUsage({ feature: 'export', subject, period: 'month', reason: 'sorry' }));
    say(await usage.voidGrant({ grant_id: grant }));
    say(await usage.setPlan({ subject, plan: 'pro', anchor: '2026-01-31T09:00:00Z' }));
    say(await usage.setLimit({ subject, feature: 'export', period: 'month', limit: null }));
    say(await usage.consumeUsage({ feature: 'export', amount: 2 ** 40, subject }));
    say(await usage.clearLimit({ subject, feature: 'export', period: 'month' }));
    say(await usage.addMember({ subject, user_id: 'somebody' }));
    say(await usage.setParent({ subject, parent: 'above' }));
    say(await usage.usageBreakdown({ feature: 'export', subject }));
    say(await usage.setParent({ subject, parent: null }));
    say(await usage.removeMember({ subject, user_id: 'somebody' }));
    say(await usage.consumeUsage({ feature: 'kb_file', subject }));
    say(await usage.returnUsage({ feature: 'kb_file', amount: 5, subject }));
    say(await usage.mergeSubjects({ from_subject: `${subject}-before`, into_subject: subject }));
    say(await usage.forgetSubject({ subject }));
  },
  'switches and values': async (usage, subject, say) => {
    // Both read views alike, if not by one type.
    const { from } = usage as overRest.UsageClient;
    const { plans } = SAMPLE_PLANS;
    const features = { ...SAMPLE_PLANS.features, sso: { kind: 'switch' }, of: { kind: 'value' } };
    const pro = { ...plans.pro, values: { sso: true, of: ['a', 1, { b: null }] } };
    await usage.applyPlans({ plans: { features, plans: { ...plans, pro } } });
    const values = async () =>
      say((await from('entitlements').select('*').eq('subject', subject).order('feature')).data);
    say(await usage.checkUsage({ feature: 'sso', subject }));
    say(await usage.setValue({ subject, feature: 'sso', value: false, ends_at: '2026-04-01' }));
    for (const value of [0, 'text', '', '"5"', [], [1, 'x'], { a: [true] }, false]) {
      say(await usage.setValue({ subject, feature: 'of', value }));
      await values();
    }
    say(await usage.setPlan({ subject, plan: 'pro' }));
    say(await usage.explainUsage({ feature: 'sso', subject }));
    for (const feature of ['sso', 'of'])
      say(await usage.setValue({ subject, feature, value: null }));
    await values();
    say((await from('plan_catalog').select('*').eq('plan', 'pro').eq('feature', 'of')).data);
    await usage.forgetSubject({ subject });
    await usage.applyPlans({ plans: SAMPLE_PLANS });
  },
  'what is of no subject': async (usage, _, say) => {
    say(await usage.applyPlans({ plans: SAMPLE_PLANS }));
    say(
      await usage.applyPlans({
        plans: { ...SAMPLE_PLANS, features: { ...SAMPLE_PLANS.features, more: {} } },
        dry_run: true,
      }),
    );
    say(await usage.verifyUsage());
    say(await usage.verifyInstallation());
    say(await usage.acknowledgeAlerts({ ids: ['11111111-1111-1111-1111-111111111111'] }));
  },
  'alerts, handed out once each': async (usage, subject, say) => {
    await usage.consumeUsage({ feature: 'export', amount: 5, subject });
    // Both are of one instant, in no order of their own.
    const alerts = (await usage.deliverAlerts({ max: 1000 }))
      .filter((alert) => alert.subject === subject)
      .toSorted((a, b) => a.threshold - b.threshold);
    say(alerts);
    say(await usage.acknowledgeAlerts({ ids: alerts.map(({ alert_id }) => alert_id) }));
  },
};

describe('the same answers', () => {
  test.each(Object.entries(PLAYS))('%s', async (name, play) => {
    const number = Object.keys(PLAYS).indexOf(name);
    const expected = await told(rows, `rest-${number}`, play);
    expect(await told(sql, `pgpg-${number}`, play)).toBe(expected);
  });

  test('what one entry of the package exports, the other does', () => {
    expect(Object.entries(overSql).filter(([name]) => name !== 'createUsageClient')).toEqual(
      Object.entries(overRest).filter(([name]) => name !== 'createUsageClient'),
    );
  });

  test('every method is there, and each of them was asked', () => {
    expect(Object.keys(sql).toSorted()).toEqual(Object.keys(rows).toSorted());
    const played = Object.values(PLAYS).join();
    const others = ['enforceUsage', 'withUsage', 'from'];
    expect(
      Object.keys(sql).filter((name) => !played.includes(`.${name}(`) && !others.includes(name)),
    ).toEqual([]);
  });

  test('the answer of a view, filtered, ordered and cut', async () => {
    await sql.consumeUsage({ feature: 'ai_generation', amount: 4, subject: 'viewer' });
    await sql.consumeUsage({ feature: 'export', amount: 5, subject: 'viewer' });
    await sql.consumeUsage({ feature: 'export', amount: 1, subject: 'viewer2' });
    const views = ['current_usage', 'usage_history', 'usage_events', 'usage_alerts'] as const;
    for (const view of views) {
      const expected = await rows.from(view).select().eq('subject', 'viewer');
      const found = await sql.from(view).select().eq('subject', 'viewer');
      expect(found.data?.length, view).toBeGreaterThan(0);
      const order = (all: object[] | null) => all?.map((row) => JSON.stringify(row)).toSorted();
      expect(order(found.data), view).toEqual(order(expected.data));
    }
    const pick = async (usage: typeof rows | typeof sql) => {
      const { data } = await (usage as typeof sql)
        .from('current_usage')
        .select('feature, period,used,limit')
        .in('subject', ['viewer', 'viewer2'])
        .neq('feature', 'kb_file')
        .gte('limit', 5)
        .lt('limit', 51)
        .gt('used', 0)
        .lte('used', 5)
        .is('unlimited', false)
        .order('used', { ascending: false })
        .order('period')
        .limit(3)
        .throwOnError();
      return JSON.stringify(data);
    };
    expect(await pick(sql)).toBe(await pick(rows));
    expect(JSON.parse(await pick(sql))).toHaveLength(3);
    const { data: none } = await sql.from('current_usage').select('used').in('subject', []);
    expect(none).toEqual([]);
    const { data: lifetime } = await sql
      .from('current_usage')
      .select('feature')
      .eq('subject', 'viewer')
      .is('resets_at', null);
    expect(lifetime).toEqual([{ feature: 'kb_file' }]);
  });

  test('numbers and instants do not depend on what the app taught its driver', async () => {
    const other = new pg.Pool({
      connectionString: database.url,
      options: '-c TimeZone=Asia/Tokyo -c DateStyle=German -c IntervalStyle=iso_8601',
      types: { getTypeParser: () => (text: string) => `parsed ${text}` } as never,
    });
    // The column is text, and a text is what comes.
    const usage = overSql.createUsageClient({
      query: async (text, values) => {
        const { rows: found } = await other.query(text, values);
        return { rows: found.map((row) => ({ answer: row.answer.replace(/^parsed /, '') })) };
      },
    });
    const there = await usage.checkUsage({ feature: 'export', subject: 'viewer' });
    const here = await sql.checkUsage({ feature: 'export', subject: 'viewer' });
    const instant = (text: string | null) => new Date(text as string).getTime();
    expect(there.resets_at).toMatch(/\+09:00$/);
    expect(instant(there.resets_at)).toBe(instant(here.resets_at));
    expect({ ...there, resets_at: 0, period_start: 0 }).toEqual({
      ...here,
      resets_at: 0,
      period_start: 0,
    });
    await other.end();
  });
});

describe('the same errors', () => {
  const failure = async (call: Promise<unknown>) =>
    call.then(
      () => expect.unreachable('it answered'),
      (error) => error,
    );

  test('codes, messages, hints and HTTP status are those of PostgREST', async () => {
    const calls: ((usage: Both) => Promise<unknown>)[] = [
      (usage) => usage.consumeUsage({ feature: 'nothing', subject: 'eve' }),
      (usage) => usage.consumeUsage({ feature: 'export', subject: 'eve', amount: 0 }),
      (usage) => usage.consumeUsage({ feature: 'export', subject: 'eve', amount: 1.5 }),
      (usage) => usage.consumeUsage({ feature: 'export', subject: 'eve', amount: 'x' as never }),
      (usage) => usage.consumeUsage({ feature: 'export', subject: 'eve', amount: 2 ** 53 }),
      (usage) => usage.consumeUsage({ feature: 'export', subject: 'eve', amount: 1e300 }),
      (usage) => usage.consumeUsage({ feature: 'export', subject: 'a\u0000b' }),
      (usage) => usage.consumeUsage({ feature: `'; drop table quota.events; --`, subject: 'eve' }),
      (usage) => usage.consumeUsage({ feature: 'export', subject: 'eve', idempotency_key: '' }),
      (usage) => usage.consumeUsage({ feature: 'export', subject: 'eve', metadata: [] as never }),
      (usage) => usage.consumeUsage({ feature: 'export' }),
      (usage) => usage.consumeUsageBatch({ items: [], subject: 'eve' }),
      (usage) => usage.consumeUsageMany({ calls: [], subject: 'eve' }),
      (usage) => usage.commitUsage({ reservation_id: 'no uuid' }),
      (usage) => usage.commitUsage({ reservation_id: '11111111-1111-1111-1111-111111111111' }),
      (usage) => usage.setPlan({ subject: 'eve', plan: 'nothing' }),
      (usage) => usage.setPlan({ subject: 'eve', plan: 'pro', time_zone: 'nowhere' }),
      (usage) => usage.deliverAlerts({ max: 0 }),
    ];
    for (const call of calls) {
      const expected = await failure(call(rows));
      const found = await failure(call(sql));
      expect(found, `${call}`).toBeInstanceOf(overRest.UsageError);
      const { code, message, hint, details, status } = expected;
      expect({ ...found, message: found.message }, `${call}`).toMatchObject({
        code,
        message,
        hint,
        details,
        status,
      });
    }
  });

  test('a parameter that a call has not is 404, and names those it has', async () => {
    const wrong = { feature: 'export', subject: 'eve', amonut: 3 };
    const expected = await failure(rows.consumeUsage(wrong as never));
    const found = await failure(sql.consumeUsage(wrong as never));
    expect([expected.status, found.status, found.code]).toEqual([404, 404, '42883']);
    expect(found.hint).toMatch(/feature, amount, subject/);
    for (const name of ['constructor', '"; drop table quota.events; --']) {
      const error = await failure(sql.consumeUsage({ [name]: 1 } as never));
      expect(error).toMatchObject({ code: '42883', status: 404 });
    }
    expect(await failure(sql.consumeUsage({} as never))).toMatchObject({
      code: '42883',
      status: 404,
    });
  });

  test('a view or column that there is not is an answer of the view', async () => {
    expect((await sql.from('current_usage').select('usedd' as 'used')).error).toMatchObject({
      code: '42703',
      status: 400,
    });
    const wrong = sql
      .from('current_usage')
      .select()
      .order('a" desc; --' as 'used');
    expect((await wrong).error).toMatchObject({ code: '42703' });
    expect((await sql.from('users' as 'current_usage').select()).error).toMatchObject({
      code: '42P01',
      status: 404,
    });
    await expect(wrong.throwOnError()).rejects.toBeInstanceOf(overSql.UsageError);
  });

  test('a refusal is UsageLimitExceeded, of the one class there is, and a Response', async () => {
    await sql.enforceUsage({ feature: 'export', amount: 5, subject: 'fay' });
    const error = await failure(sql.enforceUsage({ feature: 'export', subject: 'fay' }));
    expect(error).toBeInstanceOf(overRest.UsageLimitExceeded);
    const response = overSql.usageLimitResponse(error);
    expect(response.status).toBe(402);
    expect(await response.json()).toMatchObject({
      code: 'USAGE_LIMIT_EXCEEDED',
      upgrade_url: '/settings/billing',
      used: 5,
    });
  });

  test('no connection is an error without code and status, as no answer is', async () => {
    const nowhere = new pg.Pool({ connectionString: 'postgres://u@127.0.0.1:1/none' });
    const usage = overSql.createUsageClient(nowhere);
    const error = await failure(usage.checkUsage({ feature: 'export', subject: 'eve' }));
    expect(error).toMatchObject({ name: 'UsageError', code: '', status: 0 });
    expect(error.message).toMatch(/ECONNREFUSED/);
    await nowhere.end();
  });

  test('an aborted call is an error; what was sent is counted all the same', async () => {
    const call = { feature: 'export', subject: 'hal' };
    const early = await failure(sql.consumeUsage(call, { signal: AbortSignal.abort() }));
    expect(early).toMatchObject({ name: 'UsageError', code: '', status: 0 });
    expect((await sql.checkUsage(call)).used).toBe(0);

    await sql.consumeUsage(call);
    await owner.query('begin');
    await owner.query(`select from quota.meters where subject_id = 'hal' for update`);
    const late = await failure(sql.consumeUsage(call, { signal: AbortSignal.timeout(50) }));
    expect(late).toMatchObject({ name: 'UsageError', code: '', status: 0 });
    await owner.query('commit');
    await expect.poll(async () => (await sql.checkUsage(call)).used).toBe(2);
  });

  test('a row that another transaction holds is 55P03 after two seconds', async () => {
    const call = { feature: 'export', subject: 'hal' };
    await owner.query('begin');
    await owner.query(`select from quota.meters where subject_id = 'hal' for update`);
    const [expected, found] = await Promise.all([
      failure(rows.consumeUsage(call)),
      failure(sql.consumeUsage(call)),
    ]);
    await owner.query('rollback');
    expect(found).toMatchObject({ code: '55P03', status: expected.status });
  });
});

test('a call is one statement, and nothing is sent beside it', async () => {
  const sent: string[] = [];
  const usage = overSql.createUsageClient({
    query: (text, values) => {
      sent.push(text);
      return pool.query(text, values);
    },
  });
  await usage.enforceUsage({ feature: 'kb_file', subject: 'one' });
  await usage.setPlan({ subject: 'one', plan: 'pro' });
  await usage.verifyInstallation();
  await usage.from('plan_catalog').select();
  expect(sent).toHaveLength(4);
});

test('withUsage holds, commits what was used, and gives back when the work throws', async () => {
  const options = { subject: 'worker', amount: 4 };
  const done = await sql.withUsage('ai_generation', options, (work) => work.commit(2));
  expect(done.decision).toMatchObject({ amount: 2, used: 2, reserved: 0 });
  const thrown = sql.withUsage('ai_generation', options, () => {
    throw new RangeError('the work failed');
  });
  await expect(thrown).rejects.toThrow(RangeError);
  const refused = sql.withUsage('ai_generation', { ...options, amount: 40 }, () => 'text');
  await expect(refused).rejects.toBeInstanceOf(overSql.UsageLimitExceeded);
  const state = await sql.checkUsage({ feature: 'ai_generation', subject: 'worker' });
  expect(state).toMatchObject({ used: 2, reserved: 0 });

  const nowhere = new pg.Pool({ connectionString: 'postgres://u@127.0.0.1:1/none' });
  const lost = overSql
    .createUsageClient(nowhere)
    .withUsage('ai_generation', { ...options, retries: 1 }, () => 'text');
  await expect(lost).rejects.toBeInstanceOf(overSql.UsageOutcomeUnknown);
  await nowhere.end();
});
