// docs/production.md and docs/from-redis.md as they stand there. What needs pg_dump, pg_cron or a
// Redis is in full/dba and full/production.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createClient } from '@supabase/supabase-js';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import pg from 'pg';
import Stripe from 'stripe';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { startGateway } from '../../scripts/local/gateway.ts';
import { startPostgrest } from '../../scripts/local/postgrest.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { openTables } from '../support/open-tables.ts';
import { blocksOf } from '../support/page.ts';
import { applyPlans } from '../support/plans.ts';
import { startRest } from '../support/rest.ts';
import { asUser } from '../support/session.ts';

// As CommonJS: the edition for ES modules does not find its migrations.
const { runMigrations, StripeSync }: typeof import('@supabase/stripe-sync-engine') = createRequire(
  import.meta.url,
)('@supabase/stripe-sync-engine');

const page = blocksOf('docs/production.md');
let database: TestDatabase;
let client: pg.Client;

beforeEach(async () => {
  database = await createDatabase();
  client = await database.connect();
  await applyPlans(client, {
    features: { ai_generation: {}, kb_file: { kind: 'gauge' } },
    plans: {
      free: { default: true, limits: { ai_generation: { month: 50 } } },
      pro: { limits: { ai_generation: { month: 500 } } },
    },
  });
});
afterEach(async () => {
  expect((await client.query('select * from public.verify_usage()')).rows).toEqual([]);
  expect(await openTables(client)).toEqual([]);
  await database.drop();
});

const rows = async (sql: string, values: unknown[] = []) => (await client.query(sql, values)).rows;
const planOf = async (subject: string) =>
  (await rows(`select plan from public.check_usage('ai_generation', 1, $1)`, [subject]))[0].plan;

test('the job: its statement parses, and what it schedules runs', async () => {
  const [schedule = ''] = page('sql', 'Tidying');
  const [, scheduled = ''] = schedule.match(/'(select [^']+)'\)/) ?? [];
  expect(await rows(scheduled)).toEqual([{ tidy: '0' }]);
  // plpgsql reads the statement without looking for the names in it.
  const body = schedule.replace(/^select /, 'perform ');
  await client.query(
    `create function pg_temp.parsed() returns void language plpgsql as $$ begin ${body} end $$`,
  );
  await expect(
    client.query(
      `create function pg_temp.wrong() returns void language plpgsql as $$ begin ${body.replace(',', '')} end $$`,
    ),
  ).rejects.toMatchObject({ code: '42601' });
});

describe('Stripe', () => {
  const DAY = 86_400;

  test('a signed webhook puts its user on the plan, with the billing day; late and repeated ones change nothing', async () => {
    await client.query(readFileSync(fromRoot('examples/web/sql/example.sql'), 'utf8'));
    const rest = await startRest(database);
    const folder = mkdtempSync(join(import.meta.dirname, '.run-'));
    const secret = 'whsec_of_a_test';
    Object.assign(process.env, {
      STRIPE_SECRET_KEY: 'sk_test_nobody',
      STRIPE_WEBHOOK_SECRET: secret,
    });
    Object.assign(globalThis, { supabase: rest.asService() });
    try {
      const file = join(folder, 'route.ts');
      writeFileSync(file, page('ts', "Stripe's webhook")[0] as string);
      const { POST } = await import(pathToFileURL(file).href);
      const now = Math.floor(Date.now() / 1000);
      const stripe = new Stripe('sk_test_nobody');
      const send = async (id: string, created: number, change: object, key = secret) => {
        const payload = JSON.stringify({
          id,
          object: 'event',
          created,
          type: 'customer.subscription.updated',
          data: {
            object: {
              object: 'subscription',
              status: 'active',
              metadata: { user_id: 'ada' },
              billing_cycle_anchor: now - 10 * DAY,
              cancel_at: null,
              items: { data: [{ price: { lookup_key: 'pro' } }] },
              ...change,
            },
          },
        });
        const signature = await stripe.webhooks.generateTestHeaderStringAsync({
          payload,
          secret: key,
        });
        const request = new Request('http://localhost', {
          method: 'POST',
          body: payload,
          headers: { 'stripe-signature': signature },
        });
        return (await POST(request)).status;
      };
      expect(await send('evt_0', now, {}, 'whsec_of_another')).toBe(400);
      expect(await planOf('ada')).toBe('free');
      expect(await send('evt_1', now - 60, {})).toBe(204);
      expect(await planOf('ada')).toBe('pro');
      const [{ anchor_at }] = await rows(
        `select anchor_at from quota.subjects where subject_id = 'ada'`,
      );
      expect(anchor_at).toEqual(new Date((now - 10 * DAY) * 1000));
      expect(await send('evt_3', now, { status: 'canceled' })).toBe(204);
      expect(await planOf('ada')).toBe('free');
      expect(await send('evt_2', now - 30, {})).toBe(204);
      expect(await planOf('ada')).toBe('free');
      expect(await send('evt_4', now + 1, { cancel_at: now + DAY })).toBe(204);
      expect(await planOf('ada')).toBe('pro');
      await setClock(client, new Date((now + 2 * DAY) * 1000));
      expect(await planOf('ada')).toBe('free');
      expect(await send('evt_5', now + 2, { metadata: {} })).toBe(500);
    } finally {
      rmSync(folder, { recursive: true, force: true });
      await rest.stop();
    }
  });

  test('synced by Stripe Sync Engine: the newest subscription that is paid for decides', async () => {
    const logger = { info() {}, warn() {}, error: console.error, debug() {} } as never;
    await runMigrations({ databaseUrl: database.url, schema: 'stripe', logger });
    await client.query(page('sql', "Stripe's tables")[0] as string);
    const secret = 'whsec_of_a_test';
    const engine = new StripeSync({
      stripeSecretKey: 'sk_test_nobody',
      stripeWebhookSecret: secret,
      schema: 'stripe',
      poolConfig: { connectionString: database.url, max: 1 },
      backfillRelatedEntities: false,
      logger,
    });
    const stripe = new Stripe('sk_test_nobody');
    let events = 0;
    const sync = async (id: string, status: string, created: number, plan: string, of = 'ada') => {
      const payload = JSON.stringify({
        id: `evt_${++events}`,
        object: 'event',
        created: Math.floor(Date.now() / 1000) + events,
        type: 'customer.subscription.updated',
        data: {
          object: {
            ...{ id, object: 'subscription', customer: 'cus_1', status, created },
            metadata: of ? { user_id: of } : {},
            items: { object: 'list', data: [itemOf(id, plan)], has_more: false },
          },
        },
      });
      const header = { payload, secret };
      await engine.processWebhook(
        payload,
        await stripe.webhooks.generateTestHeaderStringAsync(header),
      );
    };
    const itemOf = (subscription: string, plan: string) => ({
      ...{ id: `si_${subscription}`, object: 'subscription_item', subscription, quantity: 1 },
      price: { id: `price_${plan}`, object: 'price', lookup_key: plan },
    });
    try {
      await sync('sub_1', 'active', 1, 'pro');
      expect(await planOf('ada')).toBe('pro');
      await sync('sub_2', 'trialing', 2, 'pro');
      await sync('sub_1', 'canceled', 1, 'pro');
      expect(await planOf('ada')).toBe('pro');
      await sync('sub_2', 'unpaid', 2, 'pro');
      expect(await planOf('ada')).toBe('free');
      await expect(sync('sub_3', 'active', 3, 'gold')).rejects.toMatchObject({ code: 'QPLAN' });
      await sync('sub_4', 'active', 4, 'pro', '');
      expect(await rows('select from stripe.subscriptions')).toHaveLength(3);
    } finally {
      await engine.close();
    }
  });
});

test('tokens of Clerk and Auth0: RS256, a role claim, and ids that are no uuid', async () => {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const jwks = {
    keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }],
  };
  const postgrest = await startPostgrest({
    databaseUrl: database.authenticatorUrl,
    jwtSecret: JSON.stringify(jwks),
  });
  const gateway = await startGateway({ postgrestUrl: postgrest.url });
  const sign = (claims: Record<string, unknown>) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', kid: 'one' })
      .setIssuedAt()
      .setExpirationTime('1m')
      .sign(privateKey);
  const asked = (token: string) =>
    createClient(gateway.url, token, {
      accessToken: async () => token,
      realtime: { transport: WebSocket as never },
    });
  try {
    // The Action, as Auth0 would run it.
    const claims: Record<string, unknown> = {};
    const action = {
      exports: {} as { onExecutePostLogin(event: object, api: object): Promise<void> },
    };
    new Function('exports', page('js', 'Clerk and Auth0')[0] as string)(action.exports);
    await action.exports.onExecutePostLogin(
      {},
      {
        accessToken: {
          setCustomClaim: (name: string, value: unknown) =>
            Object.assign(claims, { [name]: value }),
        },
      },
    );
    const people = {
      user_2abcDEF: {
        iss: 'https://clerk.example.com',
        sub: 'user_2abcDEF',
        role: 'authenticated',
        azp: 'https://app.example.com',
      },
      'auth0|64f1c0ffee': {
        iss: 'https://example.eu.auth0.com/',
        aud: ['https://api.example.com'],
        sub: 'auth0|64f1c0ffee',
        ...claims,
      },
    };
    for (const [id, payload] of Object.entries(people)) {
      const supabase = asked(await sign(payload));
      const { data } = await supabase.rpc('consume_usage', { feature: 'ai_generation' });
      expect(data).toMatchObject({ allowed: true, subject: id, used: 1 });
      const { data: bar } = await supabase.from('current_usage').select('subject, used');
      expect(bar).toEqual([{ subject: id, used: 1 }]);
    }
    const { role: _, ...roleless } = people.user_2abcDEF;
    expect(
      (await asked(await sign(roleless)).rpc('consume_usage', { feature: 'ai_generation' })).status,
    ).toBe(401);
  } finally {
    await gateway.stop();
    await postgrest.stop();
  }
});

test("an app's own membership table decides who uses and who sees", async () => {
  const [sql = ''] = page('sql', 'Your own membership table');
  await client.query(sql);
  await client.query(`insert into public.team_members values ('acme', 'ada')`);
  await asUser(client, 'ada', async (session) => {
    await session.query(`select public.consume_usage('ai_generation', 3, 'acme')`);
    const { rows: seen } = await session.query(
      `select subject, used::integer from public.current_usage where used > 0`,
    );
    expect(seen).toEqual([{ subject: 'acme', used: 3 }]);
  });
  await asUser(client, 'eve', async (session) => {
    expect(
      (await session.query(`select from public.current_usage where subject = 'acme'`)).rowCount,
    ).toBe(0);
  });
  await expect(
    asUser(client, 'eve', (session) =>
      session.query(`select public.consume_usage('ai_generation', 1, 'acme')`),
    ),
  ).rejects.toMatchObject({ code: '42501' });
  expect(await rows('select * from public.verify_installation()')).toEqual([]);
});

test('metrics: a login that reads gets the numbers, and cannot write', async () => {
  const [role = '', near = '', month = '', rate = '', waiting = ''] = page('sql', 'Metrics');
  const name = `metrics_${database.name}`;
  await client.query(role.replaceAll('metrics', name));
  await client.query(
    `select public.consume_usage('ai_generation', 40, 'ada'), public.consume_usage('ai_generation', 2, 'eve')`,
  );
  await client.query(`select public.consume_usage('ai_generation', 11, 'ada')`); // refused
  const url = new URL(database.url);
  Object.assign(url, { username: name, password: 'change-me' });
  const reader = new pg.Client(url.href);
  await reader.connect();
  try {
    const read = async (sql: string) => (await reader.query(sql)).rows;
    expect(await read(near)).toEqual([
      { feature: 'ai_generation', status: 'warning', subjects: '1' },
    ]);
    expect(await read(month)).toEqual([{ feature: 'ai_generation', used: '42', reserved: '0' }]);
    expect(await read(rate)).toEqual([{ feature: 'ai_generation', calls: '2', units: '42' }]);
    expect(await read(waiting)).toMatchObject([{ waiting: '1' }]);
    await reader.query('set enable_seqscan = off');
    const plan = JSON.stringify(await read(`explain ${rate}`));
    expect(plan).toMatch(/events_by_id/);
    for (const sql of [
      'delete from quota.events',
      `select public.consume_usage('ai_generation', 1, 'ada')`,
    ]) {
      await expect(reader.query(sql)).rejects.toMatchObject({ code: '42501' });
    }
    expect(await rows('select * from public.verify_installation()')).toEqual([]);
  } finally {
    await reader.end();
    await client.query(`drop owned by ${name}; drop role ${name}`);
  }
});

test('counts of Redis: rehearsed, brought in, and the mapping names functions that exist', async () => {
  await setClock(client, '2026-11-20T12:00:00Z');
  const redis = blocksOf('docs/from-redis.md');
  const [rehearsal = ''] = redis('sql');
  expect(await rows(rehearsal)).toEqual([]);
  expect(await rows('select from quota.events')).toEqual([]);
  const bringIn = rehearsal
    .replace(', p_dry_run => true', '')
    .replace(" where action = 'reject'", '');
  expect((await rows(bringIn)).map(({ action }) => action)).toEqual(['import', 'import']);
  expect((await rows(bringIn)).map(({ action }) => action)).toEqual(['skip', 'skip']);
  const used = await rows(
    `select subject, used::integer, status from public.usage_overview order by 1`,
  );
  expect(used).toEqual([
    { subject: 'ada', used: 37, status: 'ok' },
    { subject: 'eve', used: 61, status: 'over_limit' },
  ]);
  await client.query(`select public.set_limit('bob', 'ai_generation', 'lifetime', 0)`);
  const [{ allowed }] = await rows(
    `select allowed from public.consume_usage('ai_generation', 1, 'bob')`,
  );
  expect(allowed).toBe(false);
});
