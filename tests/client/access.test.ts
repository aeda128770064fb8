// Who may see and do what, as the real roles over HTTP.
import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { everythingStored, must, startTestApi, type TestApi } from './api.ts';
import {
  functionsAreClosed,
  OWN_VIEWS,
  strangersAreNobody,
  usersSeeOnlyThemselves,
  viewsRefuseWrites,
} from './scenarios.ts';

let api: TestApi;
let alice: SupabaseClient;
let service: SupabaseClient;

beforeAll(async () => {
  api = await startTestApi();
  alice = api.rest.asUser('alice');
  service = api.rest.asService();
  await usersSeeOnlyThemselves(api);
});
afterAll(() => api.stop());

/** A call that must fail; nothing may have been written by it. */
async function refused(call: () => PromiseLike<{ error: unknown; status: number }>) {
  const before = await everythingStored(api.owner);
  const { error, status } = await call();
  expect(await everythingStored(api.owner)).toBe(before);
  return { status, code: (error as { code?: string } | null)?.code };
}

const get = async (path: string, token: string, headers: Record<string, string> = {}) => {
  const response = await fetch(`${api.rest.url}/rest/v1/${path}`, {
    headers: { apikey: api.rest.anonKey, authorization: `Bearer ${token}`, ...headers },
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
};

test('each of two users sees its own use, in every view', () => usersSeeOnlyThemselves(api));

test('anon may call nothing, and a user none of what is for the server', () =>
  functionsAreClosed(api));

describe('anon', () => {
  test('reads the plan catalogue', async () => {
    expect(must(await api.rest.asAnon().from('plan_catalog').select()).length).toBeGreaterThan(0);
  });

  test.for(OWN_VIEWS)('reads nothing of %s', async (view) => {
    const { error, status } = await api.rest.asAnon().from(view).select();
    expect(error?.code).toBe('42501');
    expect([401, 403]).toContain(status);
  });

  test('without any key is told nothing else', async () => {
    const response = await fetch(`${api.rest.url}/rest/v1/current_usage`);
    expect(response.status).toBe(401);
  });

  test('is shown no function and no other view in the API description', async () => {
    const response = await fetch(`${api.rest.url}/rest/v1/`, {
      headers: { apikey: api.rest.anonKey },
    });
    const { paths } = (await response.json()) as { paths: Record<string, unknown> };
    expect(Object.keys(paths).sort()).toEqual(['/', '/plan_catalog']);
  });
});

describe('a signed-in user', () => {
  test('may name itself', async () => {
    const answer = await alice.rpc('check_usage', { feature: 'export', subject: 'alice' });
    expect(must(answer)).toMatchObject({ subject: 'alice' });
  });

  test.for(['check_usage', 'consume_usage', 'enforce_usage'])(
    'cannot %s for another subject',
    async (name) => {
      expect(await refused(() => alice.rpc(name, { feature: 'export', subject: 'bob' }))).toEqual({
        status: 403,
        code: '42501',
      });
    },
  );

  test('cannot use a feature that is for the server only, and may ask about it', async () => {
    for (const name of ['consume_usage', 'enforce_usage']) {
      expect(await refused(() => alice.rpc(name, { feature: 'secret' }))).toEqual({
        status: 403,
        code: '42501',
      });
    }
    expect(must(await alice.rpc('check_usage', { feature: 'secret' }))).toMatchObject({
      limit: 10,
    });
  });

  test.for([
    ['no sub', {}],
    ['an empty sub', { sub: '' }],
    ['a null sub', { sub: null }],
  ] as const)('with %s in its token has no identity', async ([, claims]) => {
    const token = await api.rest.userToken(undefined as never, claims as never);
    for (const rpc of ['check_usage', 'consume_usage', 'enforce_usage']) {
      const answer = await get(`rpc/${rpc}?feature=export`, token);
      const posted = await fetch(`${api.rest.url}/rest/v1/rpc/${rpc}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ feature: 'export' }),
      });
      expect(posted.status).toBe(403);
      expect(await posted.json()).toMatchObject({ code: '42501' });
      expect(answer.text).not.toContain('"allowed"');
    }
    for (const view of OWN_VIEWS) expect((await get(view, token)).text).toBe('[]');
  });

  test('with a token that somebody else signed is refused', async () => {
    const [head, claims] = (await api.rest.userToken('alice')).split('.');
    const { status, text } = await get('current_usage', `${head}.${claims}.c2lnbmVkIGJ5IG1l`);
    expect(status).toBe(401);
    expect(text).not.toContain('alice');
  });

  test('sees nothing of another through filters, or, order, counts and casts', async () => {
    const token = await api.rest.userToken('alice');
    for (const view of OWN_VIEWS) {
      expect((await get(`${view}?subject=eq.bob`, token)).text).toBe('[]');
      expect((await get(`${view}?or=(subject.eq.bob,subject.neq.alice)`, token)).text).toBe('[]');
      const counted = await get(`${view}?select=subject`, token, { prefer: 'count=exact' });
      const rows = JSON.parse(counted.text);
      expect(counted.headers.get('content-range')).toBe(`0-${rows.length - 1}/${rows.length}`);
      // A cast that fails names the value in its error: it may only ever meet own values.
      const cast = await get(`${view}?select=subject::int`, token);
      expect(cast.text).toContain('22P02');
      expect(cast.text).not.toContain('bob');
    }
    const cast = await get('usage_events?select=note:metadata->>note::int', token);
    expect(cast.text).toContain('of alice');
    expect(cast.text).not.toContain('bob');
    const ordered = await get(
      'usage_events?metadata->>note=eq.of bob&order=metadata->>note',
      token,
    );
    expect(ordered.text).toBe('[]');
  });

  test('sees nothing of another by embedding one view in another', async () => {
    const token = await api.rest.userToken('alice');
    const views = [...OWN_VIEWS, 'plan_catalog'];
    for (const outer of views) {
      for (const inner of views) {
        const { text } = await get(`${outer}?select=*,${inner}(*)`, token);
        expect(text).not.toContain('bob');
      }
    }
  });
});

describe('the server', () => {
  test('must name the subject', async () => {
    for (const name of ['check_usage', 'consume_usage', 'enforce_usage']) {
      expect(await refused(() => service.rpc(name, { feature: 'export' }))).toEqual({
        status: 400,
        code: 'QSUBJ',
      });
    }
  });

  test('acts for the subject that it names, also on what is for the server only', async () => {
    const use = { feature: 'secret', subject: 'carol' };
    expect(must(await service.rpc('consume_usage', use))).toMatchObject({
      allowed: true,
      subject: 'carol',
      used: 1,
    });
    const rows = must(
      await service
        .from('current_usage')
        .select('subject,used')
        .eq('subject', 'carol')
        .eq('feature', 'secret'),
    );
    expect(rows).toEqual([{ subject: 'carol', used: 1 }]);
  });

  test('is not believed to be a user because its token has a sub', async () => {
    const token = await api.rest.userToken('alice', { role: 'service_role' });
    const { status, text } = await get('rpc/check_usage?feature=export', token);
    expect([status, JSON.parse(text).code]).toEqual([400, 'QSUBJ']);
  });
});

describe('no role of the API', () => {
  const roles = {
    anon: () => api.rest.asAnon(),
    'a user': () => alice,
    service_role: () => service,
  };

  test('writes into a view', () => viewsRefuseWrites(api));

  for (const [name, client] of Object.entries(roles)) {
    test(`reaches schema quota (${name})`, async () => {
      const tables = ['counters', 'events', 'subjects', 'plans', 'meters', 'reservations'];
      for (const table of tables) {
        expect((await client().from(table).select()).status).toBe(404);
        const inQuota = await client().schema('quota').from(table).select();
        expect([inQuota.status, inQuota.error?.code]).toEqual([406, 'PGRST106']);
      }
      for (const rpc of ['record', 'take', 'limits_of', 'clock', 'consume_usage']) {
        const call = await client().schema('quota').rpc(rpc, {});
        expect([call.status, call.error?.code]).toEqual([406, 'PGRST106']);
      }
      expect((await client().rpc('clock')).status).toBe(404);
    });
  }
});

test('a GET cannot count: the request is read-only', async () => {
  const token = await api.rest.userToken('alice');
  const before = await everythingStored(api.owner);
  const { status, text } = await get('rpc/consume_usage?feature=export', token);
  expect(JSON.parse(text).code).toBe('25006');
  expect(status).toBeGreaterThanOrEqual(400);
  expect(await everythingStored(api.owner)).toBe(before);
});

test('an app whose own word on memberships is null lets nobody act', async () => {
  const other = await startTestApi();
  try {
    await strangersAreNobody(other);
  } finally {
    await other.stop();
  }
});
