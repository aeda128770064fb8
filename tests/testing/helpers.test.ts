// pgquota/testing: a limit is filled up, the clock is moved for everybody and put back, and nothing of it
// happens to a database that somebody might miss.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { connectForTests, type TestUsage } from 'pgquota/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { startPostgres } from '../../scripts/local/postgres.ts';
import { ensureApiRoles } from '../../scripts/local/roles.ts';
import { throwawayFolder } from '../../scripts/local/throwaway.ts';
import { guardFolder } from '../../scripts/local/warden.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';

const PLANS = {
  features: {
    ai_generation: {},
    export: {},
    burst: {},
    server: { server_only: true },
    kb_file: { kind: 'gauge' },
  },
  plans: {
    free: {
      default: true,
      limits: {
        ai_generation: { month: 50, day: 20, minute: 10 },
        export: { month: 5 },
        burst: { month: 3, minute: 10 },
        server: { month: 4 },
        kb_file: { lifetime: 10 },
      },
    },
    pro: { limits: { ai_generation: { month: null } } },
  },
};

let database: TestDatabase;
let client: pg.Client;
let usage: TestUsage;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
  await applyPlans(client, PLANS);
});
afterAll(() => database.drop());
beforeEach(async () => {
  usage = await connectForTests({ databaseUrl: database.url });
});
afterEach(async () => {
  await usage.close();
  expect((await client.query('select * from public.verify_usage()')).rows).toEqual([]);
  expect((await client.query('select * from public.verify_installation()')).rows).toEqual([]);
  const next = await connectForTests({ databaseUrl: database.url });
  await next.reset();
  await next.close();
});

async function consume(feature: string, subject: string, amount = 1) {
  const { rows } = await client.query(
    'select allowed, period, used::integer from public.consume_usage($1, $2, $3)',
    [feature, amount, subject],
  );
  return rows[0];
}

describe('filling up', () => {
  test('uses what there is, so that the next call is refused', async () => {
    expect(await usage.fillUp({ feature: 'export', subject: 'ada' })).toBe(5);
    expect(await consume('export', 'ada')).toEqual({ allowed: false, period: 'month', used: 5 });
    expect(await consume('export', 'eve')).toMatchObject({ allowed: true });
    expect(await usage.fillUp({ feature: 'export', subject: 'ada' })).toBe(0);
  });

  test('leaves what it is told to leave, also of what was used in part', async () => {
    await consume('export', 'ada');
    expect(await usage.fillUp({ feature: 'export', subject: 'ada', leave: 1 })).toBe(3);
    expect((await consume('export', 'ada')).allowed).toBe(true);
    expect((await consume('export', 'ada')).allowed).toBe(false);
    await expect(usage.fillUp({ feature: 'export', subject: 'ada', leave: 2 })).rejects.toThrow(
      /has only 0 left, not 2/,
    );
  });

  test('fills the longest limit without the shorter ones, in the middle of a month', async () => {
    await usage.stopClock('2026-11-20T12:00:30Z');
    expect(await usage.fillUp({ feature: 'ai_generation', subject: 'ada' })).toBe(50);
    const { rows } = await client.query(
      `select period, used::integer from public.current_usage
       where subject = 'ada' and feature = 'ai_generation' order by used, period desc`,
    );
    expect(rows).toEqual([
      { period: 'minute', used: 1 },
      { period: 'day', used: 1 },
      { period: 'month', used: 50 },
    ]);
    expect(await consume('ai_generation', 'ada')).toMatchObject({
      allowed: false,
      period: 'month',
    });
    await usage.passReset({ feature: 'ai_generation', subject: 'ada' });
    expect((await consume('ai_generation', 'ada')).allowed).toBe(true);
    await usage.fillUp({ feature: 'ai_generation', subject: 'ada', leave: 3 });
    await usage.fillUp({ feature: 'ai_generation', subject: 'ada' });
    expect((await consume('ai_generation', 'ada')).allowed).toBe(false);
  });

  test('fills a shorter one by its name, and where that cannot be says why', async () => {
    expect(await usage.fillUp({ feature: 'ai_generation', subject: 'ada', period: 'minute' })).toBe(
      10,
    );
    expect(await consume('ai_generation', 'ada')).toMatchObject({
      allowed: false,
      period: 'minute',
    });
    await expect(
      usage.fillUp({ feature: 'burst', subject: 'ada', period: 'minute' }),
    ).rejects.toThrow(/per month only 3 are left, not 10/);
    await expect(
      usage.fillUp({ feature: 'burst', subject: 'ada', period: 'week' }),
    ).rejects.toThrow(/no limit of burst per week, only per month and minute/);
  });

  test('fills gauges, and what only the server may use', async () => {
    expect(await usage.fillUp({ feature: 'kb_file', subject: 'ada', leave: 1 })).toBe(9);
    expect(await usage.fillUp({ feature: 'server', subject: 'ada' })).toBe(4);
    await expect(usage.passReset({ feature: 'kb_file', subject: 'ada' })).rejects.toThrow(
      /never resets/,
    );
  });

  test('says so where there is nothing to fill up', async () => {
    await client.query(`select public.set_plan('eve', 'pro')`);
    await expect(usage.fillUp({ feature: 'ai_generation', subject: 'eve' })).rejects.toThrow(
      /unlimited/,
    );
    await expect(usage.fillUp({ feature: 'export', subject: 'eve' })).rejects.toThrow(
      /the plan of eve has no export/,
    );
    await expect(usage.fillUp({ feature: 'exprot', subject: 'eve' })).rejects.toMatchObject({
      code: 'QFEAT',
    });
  });
});

describe('the clock', () => {
  const now = async () => (await client.query('select quota.clock() as at')).rows[0].at as Date;
  const ahead = async () => (await now()).getTime() - Date.now();
  const HOUR = 3_600_000;

  test('moves for everybody, twice as far when moved twice, and runs on', async () => {
    await usage.moveClock('1 hour');
    expect(Math.abs((await ahead()) - HOUR)).toBeLessThan(5000);
    await usage.moveClock('1 hour');
    expect(Math.abs((await ahead()) - 2 * HOUR)).toBeLessThan(5000);
    const before = await now();
    await client.query('select pg_sleep(0.05)');
    expect((await now()).getTime() - before.getTime()).toBeGreaterThanOrEqual(50);
    await usage.resetClock();
    expect(Math.abs(await ahead())).toBeLessThan(5000);
  });

  test('stops, and is moved while it stands still', async () => {
    expect(await usage.stopClock('2026-01-31T10:00:00Z')).toEqual(new Date('2026-01-31T10:00:00Z'));
    expect(await usage.moveClock('1 month')).toEqual(new Date('2026-02-28T10:00:00Z'));
    expect(await now()).toEqual(new Date('2026-02-28T10:00:00Z'));
    await usage.startClockAt(new Date('2026-03-01T00:00:00Z'));
    expect((await now()).getTime()).toBeGreaterThanOrEqual(Date.parse('2026-03-01T00:00:00Z'));
    await usage.stopClock();
    expect(await now()).toEqual(await usage.now());
  });

  test('a full month is over after its reset', async () => {
    await usage.fillUp({ feature: 'export', subject: 'ada' });
    await usage.passReset({ feature: 'export', subject: 'ada' });
    expect(await consume('export', 'ada')).toEqual({ allowed: true, period: 'month', used: 1 });
  });

  test('is put back as it was: body, rights, options, and after a run that was killed', async () => {
    const text = async () =>
      (
        await client.query(
          `select pg_get_functiondef(oid) as text, proacl::text from pg_proc where oid = 'quota.clock()'::regprocedure`,
        )
      ).rows[0];
    const before = await text();
    const killed = await connectForTests({ databaseUrl: database.url });
    await killed.moveClock('1 year');
    const { rows } = await client.query('select * from public.verify_installation()');
    expect(rows).toMatchObject([{ object: 'function quota.clock()' }]);
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'pgquota' and query ~ 'quota.clock'`,
    );
    await usage.close().catch(() => {});
    usage = await connectForTests({ databaseUrl: database.url });
    expect(await text()).toEqual(before);
  });

  test('is moved by one at a time: another waits, and then says so', async () => {
    await usage.moveClock('1 hour');
    const other = await connectForTests({ databaseUrl: database.url, patience: '100ms' });
    expect(Math.abs((await ahead()) - HOUR)).toBeLessThan(5000);
    await expect(other.moveClock('1 day')).rejects.toThrow(/another session has moved the clock/);
    await other.close();
    expect(Math.abs((await ahead()) - HOUR)).toBeLessThan(5000);
    await usage.resetClock();
    const next = await connectForTests({ databaseUrl: database.url, patience: '100ms' });
    await next.moveClock('1 day');
    await next.close();
    expect(Math.abs(await ahead())).toBeLessThan(5000);
  });

  test('an interval that is none is an error, and the clock stays', async () => {
    await expect(usage.moveClock('soon')).rejects.toMatchObject({ code: '22007' });
    await expect(usage.stopClock(`'; drop schema quota; --`)).rejects.toMatchObject({
      code: '22007',
    });
    expect(Math.abs(await ahead())).toBeLessThan(5000);
  });
});

describe('beginning anew', () => {
  test('a subject is as if it had never been there; the others stay', async () => {
    await client.query(
      `select public.set_plan('ada', 'pro'), public.grant_usage('export', 5, 'ada')`,
    );
    await consume('export', 'eve');
    await usage.reset('ada');
    const { rows } = await client.query(
      `select plan, "limit"::integer, used::integer from public.check_usage('export', 1, 'ada')`,
    );
    expect(rows).toEqual([{ plan: 'free', limit: 5, used: 0 }]);
    expect((await consume('export', 'eve')).used).toBe(2);
  });

  test('all of them, with what they hold and belong to; the plan document stays', async () => {
    await client.query(
      `select public.set_plan('ada', 'pro'), public.grant_usage('export', 5, 'bob'),
         public.add_member('acme', 'cyd'), public.reserve_usage('export', 1, 'dan')`,
    );
    await usage.reset();
    for (const table of [
      'subjects',
      'meters',
      'counters',
      'events',
      'grants',
      'members',
      'reservations',
      'keys',
    ]) {
      const { rows } = await client.query(`select count(*)::integer as rows from quota.${table}`);
      expect(rows, table).toEqual([{ rows: 0 }]);
    }
    expect((await client.query('select from public.plan_catalog')).rowCount).toBeGreaterThan(3);
  });
});

describe('a database that somebody might miss is left alone', () => {
  const clockIsReal = async () =>
    expect(
      (await client.query(`select prosrc from pg_proc where oid = 'quota.clock()'::regprocedure`))
        .rows[0].prosrc,
    ).not.toContain('pgquota/testing');
  afterEach(clockIsReal);

  test('in production', async () => {
    const { NODE_ENV } = process.env;
    process.env.NODE_ENV = 'production';
    try {
      await expect(connectForTests({ databaseUrl: database.url })).rejects.toThrow(/NODE_ENV/);
    } finally {
      process.env.NODE_ENV = NODE_ENV;
    }
  });

  test('on another host, unless that very host is named', async () => {
    const url = 'postgres://postgres:hunter2@db.abcdefghijkl.supabase.co:1/postgres';
    const refused = connectForTests({ databaseUrl: url });
    await expect(refused).rejects.toThrow(/throwaway: 'db.abcdefghijkl.supabase.co'/);
    await expect(refused).rejects.not.toThrow(/hunter2/);
    await expect(
      connectForTests({ databaseUrl: url, throwaway: 'db.another.supabase.co' }),
    ).rejects.toThrow(/may be somebody's/);
  });

  test('on a server that archives its log, unless it is named', async () => {
    const home = throwawayFolder('pgquota-kept-');
    const release = guardFolder(home);
    const options = { dataDirectory: join(home, 'data'), durable: false };
    let postgres = await startPostgres(options);
    try {
      await withClient(postgres.url(), async (admin) => {
        await ensureApiRoles(admin);
        await admin.query('alter system set archive_mode = on');
      });
      await migrate(postgres.url());
      await postgres.stop();
      postgres = await startPostgres(options);
      const databaseUrl = postgres.url();
      await expect(connectForTests({ databaseUrl })).rejects.toThrow(/archives its log/);
      await (await connectForTests({ databaseUrl, throwaway: '127.0.0.1' })).close();
    } finally {
      await postgres.remove();
      rmSync(home, { recursive: true, force: true });
      release();
    }
  });

  test('with more subjects than a test makes', async () => {
    await client.query(
      `select public.consume_usage('export', 1, 's' || n) from generate_series(1, 1001) as n`,
    );
    await expect(connectForTests({ databaseUrl: database.url })).rejects.toThrow(
      /over 1000 subjects .* looks like production/,
    );
    await expect(
      connectForTests({ databaseUrl: database.url, throwaway: '127.0.0.1' }),
    ).rejects.toThrow(/looks like production/);
    await client.query(`select public.forget_subject('s' || n) from generate_series(1, 1001) as n`);
  });

  test('for a user that does not own it, and without pgquota', async () => {
    const name = `tester_${database.name}`;
    await client.query(`create role ${name} login password 'secret' in role service_role`);
    const url = new URL(database.url);
    Object.assign(url, { username: name, password: 'secret' });
    await expect(connectForTests({ databaseUrl: url.href })).rejects.toThrow(
      /is not the owner of schema quota, postgres is/,
    );
    await client.query(`drop role ${name}`);
    const empty = await createDatabase({ from: 'empty' });
    await expect(connectForTests({ databaseUrl: empty.url })).rejects.toThrow(/not installed/);
    await empty.drop();
  });
});
