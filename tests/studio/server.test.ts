// The server of the studio: who is let in and who is not, what a role that may only read gets, what a refusal
// says, and that lists read as much of a page with thousands of subjects as with few.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import type {
  Effect,
  LedgerLine,
  Moment,
  NearRow,
  Page,
  Refusal,
  Session,
  Subject,
  SubjectRow,
  UsageOverview,
  Verification,
} from '../../studio/server/shapes.ts';
import { type Studio, startStudio } from '../../studio/server/studio.ts';
import { CAPS } from '../../studio/server/subject.ts';
import { FULLEST } from '../../studio/server/subjects.ts';
import { pgquota } from '../package/cli.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { rowsRead } from '../support/rows-read.ts';
import { addCrowd, BLOCKED, PLANS, prepareGround } from './ground.ts';

let database: TestDatabase;
let admin: pg.Client;
let studio: Studio;
let page: string;
const open: Studio[] = [];

beforeAll(async () => {
  // As vite leaves it; what is in it is the browser tests' to say.
  page = mkdtempSync(join(tmpdir(), 'pgquota-studio-page-'));
  mkdirSync(join(page, 'assets'));
  writeFileSync(
    join(page, 'index.html'),
    '<!doctype html><meta name="style-nonce" content="NONCE">',
  );
  writeFileSync(join(page, 'assets/index.js'), 'export {};');
  database = await createDatabase();
  admin = await database.connect();
  await prepareGround(admin);
  studio = await start();
});
afterAll(async () => {
  await Promise.all(open.map((one) => one.close()));
  await database.drop();
  rmSync(page, { recursive: true, force: true });
});

async function start(options: { url?: string; isReadOnly?: boolean } = {}): Promise<Studio> {
  const { url = database.url, isReadOnly = false } = options;
  const started = await startStudio({
    databaseUrl: url,
    place: 'here/app',
    port: 0,
    isReadOnly,
    page,
  });
  open.push(started);
  return started;
}

interface Answered {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  body: string;
}

/** As any client can, a browser or not: fetch() would not send a Host or an Origin of our choice. */
function ask(
  port: number,
  path: string,
  headers: Record<string, string> = {},
  body?: string,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port, path, method: body === undefined ? 'GET' : 'POST', headers },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        );
      },
    );
    asked.once('error', reject);
    asked.end(body);
  });
}

/** What a browser has after it opened the address. */
async function enter({ address, port }: Studio) {
  const entered = await ask(port, new URL(address).pathname + new URL(address).search);
  const cookie = String(entered.headers['set-cookie']).split(';')[0] as string;
  const [, key] = /#key=([\w-]+)"/.exec(entered.body) ?? [];
  return { entered, cookie, authorization: `Bearer ${key}` };
}

const clients = new Map<Studio, ReturnType<typeof clientOf>>();
function client(of: Studio) {
  const known = clients.get(of) ?? clientOf(of);
  clients.set(of, known);
  return known;
}

async function clientOf(of: Studio) {
  const { cookie, authorization } = await enter(of);
  const origin = `http://127.0.0.1:${of.port}`;
  const read = async <T>(path: string) => {
    const { status, body } = await ask(of.port, `/api/${path}`, { cookie, authorization });
    return { status, body: JSON.parse(body) as T };
  };
  const post = async <T>(path: string, content: unknown) => {
    const headers = { cookie, authorization, origin, 'content-type': 'application/json' };
    const { status, body } = await ask(of.port, `/api/${path}`, headers, JSON.stringify(content));
    return { status, body: JSON.parse(body) as T };
  };
  return { read, post };
}

describe('who is let in', () => {
  test('the address that was printed, and nobody without its token', async () => {
    const { port } = studio;
    for (const path of ['/', '/assets/index.js', '/api/session', '/?token=guessed', '/nothing'])
      expect([path, (await ask(port, path)).status]).toEqual([path, 401]);
    const { entered, cookie, authorization } = await enter(studio);
    expect(entered.status).toBe(200);
    expect(String(entered.headers['set-cookie'])).toMatch(/; HttpOnly; SameSite=Strict$/);
    expect(studio.address).not.toContain(cookie.split('=')[1] as string);
    expect((await ask(port, '/', { cookie })).status).toBe(200);
    expect((await ask(port, '/assets/index.js', { cookie })).status).toBe(200);
    // Another server on this machine is sent the cookie, too: it opens nothing that matters.
    expect((await ask(port, '/api/session', { cookie })).status).toBe(401);
    expect((await ask(port, '/api/session', { authorization })).status).toBe(401);
    expect((await ask(port, '/api/session', { cookie, authorization })).status).toBe(200);
    for (const wrong of ['', 'x', `${cookie}x`, cookie.slice(0, -1)])
      expect((await ask(port, '/api/session', { cookie: wrong, authorization })).status).toBe(401);
  });

  test('no name but its own (DNS rebinding), and no other page', async () => {
    const { port } = studio;
    const { cookie, authorization } = await enter(studio);
    const mine = { cookie, authorization };
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      `localhost:${port}`,
      '127.0.0.1',
      '127.0.0.1:1',
    ])
      expect([host, (await ask(port, '/api/session', { ...mine, host })).status]).toEqual([
        host,
        421,
      ]);
    for (const origin of [
      'https://evil.example',
      'null',
      `http://localhost:${port}`,
      'http://127.0.0.1:1',
    ])
      expect((await ask(port, '/api/session', { ...mine, origin })).status).toBe(403);
    for (const site of ['cross-site', 'same-site'])
      expect((await ask(port, '/', { cookie, 'sec-fetch-site': site })).status).toBe(403);
    // The address itself may be clicked anywhere, in a terminal of a browser for example.
    const { pathname, search } = new URL(studio.address);
    const clicked = await ask(port, pathname + search, { 'sec-fetch-site': 'cross-site' });
    expect(clicked.status).toBe(200);
    // Nobody writes without saying from where.
    const json = { 'content-type': 'application/json' };
    expect((await ask(port, '/api/act', { ...mine, ...json }, '{}')).status).toBe(403);
  });

  test("a page has no inline script, is in nobody's frame, and leaks no address", async () => {
    const { cookie } = await enter(studio);
    const one = await ask(studio.port, '/subject?id=maya', { cookie });
    const policy = String(one.headers['content-security-policy']);
    expect(policy).toMatch(/default-src 'none'; script-src 'self';/);
    expect(policy).not.toMatch(/unsafe|\*/);
    expect(policy).toMatch(/frame-ancestors 'none'/);
    const [, nonce] = /content="([^"]+)"/.exec(one.body) ?? [];
    expect(policy).toContain(`'nonce-${nonce}'`);
    const two = await ask(studio.port, '/', { cookie });
    expect(two.body).not.toContain(nonce as string);
    expect(one.headers['referrer-policy']).toBe('no-referrer');
    expect(one.headers['x-content-type-options']).toBe('nosniff');
    expect((await ask(studio.port, '/assets/../../../etc/passwd', { cookie })).status).not.toBe(
      500,
    );
    expect((await ask(studio.port, '/assets/none.js', { cookie })).status).toBe(404);
    // On this machine alone.
    await expect(fetch(`http://[::1]:${studio.port}/`)).rejects.toThrow();
  });
});

describe('what it answers', () => {
  test('use per feature is what the ledger says, and refusals are not made up', async () => {
    const { read } = await client(studio);
    for (const unit of ['hour', 'day', 'month']) {
      const { body } = await read<UsageOverview>(`usage?unit=${unit}`);
      expect(body.isComplete).toBe(true);
      const since = body.buckets[0]?.from;
      const { rows } = await admin.query(
        `select feature, sum(used_change)::int as used from public.usage_events
         where at >= $1 and feature is not null group by 1 order by 1`,
        [since],
      );
      const sum = (feature: string) =>
        body.buckets.reduce((all, { features }) => all + (features?.[feature]?.used ?? 0), 0);
      expect(rows.map(({ feature }) => [feature, sum(feature)])).toEqual(
        rows.map(({ feature, used }) => [feature, used]),
      );
      expect(body.reached).toEqual({ ai_generation: 1 });
      expect(body.shadow).toEqual({ export: 1 });
    }
  });

  test('whether there was room at 10:42, though a refusal writes nothing', async () => {
    const { read } = await client(studio);
    const at = (time: string) => read<Moment>(`moment?subject=maya&at=${encodeURIComponent(time)}`);
    const { body } = await at(`${BLOCKED}:30Z`);
    expect(body.limits.filter(({ wasFull }) => wasFull)).toMatchObject([
      { feature: 'ai_generation', period: 'day', used: 20, limit: 20 },
    ]);
    expect(body.before[0]).toMatchObject({ kind: 'consume', used_change: 12 });
    const before = (await at('2026-11-26T10:30:00Z')).body;
    expect(before.limits.some(({ wasFull }) => wasFull)).toBe(false);
    // What is granted now was not there then.
    await admin.query(`select public.grant_usage('ai_generation', 7, 'maya')`);
    const later = (await at(`${BLOCKED}:30Z`)).body;
    expect(later.limits.filter(({ wasFull }) => wasFull)).toMatchObject([
      { feature: 'ai_generation', period: 'day', limit: 27, limitThen: 20 },
    ]);
    expect(later.changes).toMatchObject([{ kind: 'grant' }]);
    // A team is refused by what is above it, and not by a limit in shadow.
    const team = await read<Moment>('moment?subject=acme%2Fdesign&at=2026-11-26T12:00:00Z');
    expect(team.body.limits).toContainEqual(
      expect.objectContaining({ subject: 'acme', feature: 'export', used: 130, wasFull: false }),
    );
  });

  test('the ledger in pages, each line once, by what is asked for', async () => {
    const { read } = await client(studio);
    const whole = await read<Page<LedgerLine>>('ledger?subject=acme');
    expect(whole.body.next).toBeNull();
    const exports = await read<Page<LedgerLine>>(
      'ledger?subject=acme&feature=export&kind=consume&actor=omar',
    );
    expect(exports.body.rows.length).toBe(10);
    expect(
      exports.body.rows.every(({ actor, feature }) => actor === 'omar' && feature === 'export'),
    ).toBe(true);
    const day = await read<Page<LedgerLine>>(
      'ledger?subject=acme&from=2026-11-26T00:00:00Z&until=2026-11-26T12:00:00Z',
    );
    expect(day.body.rows.map(({ used_change }) => used_change)).toEqual([30, 60]);
  });

  test('every number is proved', async () => {
    const { post } = await client(studio);
    const { body } = await post<Verification>('verify', { after: null });
    expect(body).toMatchObject({ next: null, mismatches: [] });
    expect(body.done).toBe(body.total);
  });

  test('what it makes of the catalogue is the document that holds', async () => {
    const { read, post } = await client(studio);
    const { body } = await read<{ text: string; unsaid: unknown[] }>('plans');
    expect(body.unsaid).toEqual([]);
    expect(JSON.parse(body.text)).toMatchObject({ plans: PLANS.plans });
    const wrong = await post<{ faults: { message: string; from: number }[] }>('judge', {
      text: body.text.replace('"day": 20', '"day": -1'),
    });
    const [fault] = wrong.body.faults;
    expect(fault?.message).toMatch(
      /plans\.free\.limits\.ai_generation\.day: found -1 \(unlimited is written null\), /,
    );
    expect(body.text.slice(fault?.from)).toMatch(/^"day"/);
    const refused = await post<{ refusal: Refusal }>('judge', {
      text: JSON.stringify({ ...PLANS, plans: { free: PLANS.plans.free } }),
    });
    expect(refused.body.refusal).toMatchObject({ code: 'QPLAN', hint: expect.any(String) });
  });

  test.each([
    ['near?sort=nonsense', 400],
    ['near?after=nonsense', 400],
    ['usage?unit=year', 400],
    ['ledger', 400],
    ['moment?subject=maya&at=yesterday', 400],
    ['__proto__', 404],
    ['act', 404],
  ])('%s is answered with %i', async (path, status) => {
    const { read } = await client(studio);
    expect((await read(path)).status).toBe(status);
  });
});

describe('what it does', () => {
  const act = (action: string, given: object, more: object = {}) => ({
    ...{ action, subject: 'ruth', arguments: given, reason: 'ticket 7', key: 'studio 1' },
    ...more,
  });
  const counts = async () => {
    const { rows } = await admin.query(
      `select (select count(*) from quota.events)::int as lines, (select count(*) from quota.grants)::int as grants`,
    );
    return rows[0];
  };

  test('a preview shows what it would do, and leaves nothing', async () => {
    const { post } = await client(studio);
    const before = await counts();
    const { body } = await post<Effect>('preview', act('grant', { feature: 'export', amount: 3 }));
    expect(body.applied).toBe(false);
    expect([body.before.grants, body.after.grants]).toEqual([0, 3]);
    expect(body.lines).toMatchObject([{ kind: 'grant' }]);
    expect(await counts()).toEqual(before);
  });

  test('it is done once for two clicks, and its reason is in the ledger', async () => {
    const { post, read } = await client(studio);
    const wanted = act('grant', { feature: 'export', amount: 3 });
    const [one, two] = [await post<Effect>('act', wanted), await post<Effect>('act', wanted)];
    expect(one.body).toMatchObject({ applied: true, after: { grants: 3 } });
    expect(two.body.answer).toBe(one.body.answer);
    const { body } = await read<Subject>('subject?subject=ruth');
    expect(body.grants).toMatchObject([{ amount: 3, metadata: { reason: 'ticket 7' } }]);
    expect(one.body.statement).toMatch(
      /^select grant_usage\(feature => 'export', amount => 3, subject => 'ruth',/,
    );
    const without = await post<Refusal>('act', { ...wanted, reason: ' ' });
    expect(without).toMatchObject({ status: 400, body: { message: /reason/ } });
  });

  test.each([
    ['set_plan', { plan: 'gold' }, 'QPLAN'],
    ['grant', { feature: 'export', amount: 0 }, 'QAMNT'],
    ['grant', { feature: 'export', amount: "1'; drop table quota.events; --" }, '22P02'],
    [
      'set_limit',
      { feature: 'export', period: 'month', limit: 9, ends_at: '2020-01-01T00:00:00Z' },
      '22023',
    ],
    ['reset', { feature: 'kb_file' }, 'QFEAT'],
    ['refund', { event_id: '018f0000-0000-7000-8000-000000000000' }, 'QRSRV'],
    ['release', { reservation_id: '018f0000-0000-7000-8000-000000000000' }, 'QRSRV'],
  ])('%s of %j is refused in the words of the database', async (action, given, code) => {
    const { post } = await client(studio);
    for (const way of ['preview', 'act']) {
      const { status, body } = await post<Refusal>(way, act(action, given));
      expect([status, body.code]).toEqual([422, code]);
      expect(body.message.length).toBeGreaterThan(10);
    }
  });
});

describe('a role that may only read', () => {
  test('--read-only answers everything, and does nothing', async () => {
    const one = await start({ isReadOnly: true });
    const { read, post } = await client(one);
    expect((await read<Session>('session')).body.readOnly).toBe('started with --read-only');
    const wanted = {
      action: 'grant',
      subject: 'maya',
      arguments: { feature: 'export', amount: 1 },
      reason: 'x',
      key: 'k',
    };
    for (const way of ['preview', 'act', 'apply', 'try'])
      expect([way, (await post(way, wanted)).status]).toEqual([way, 400]);
    expect((await read<Subject>('subject?subject=maya')).body.limits.length).toBe(4);
  });

  test('the two logins of docs/studio.md: one acts and owns nothing, one sees stored numbers, and why', async () => {
    const [, said = ''] =
      /```sql\n(create role support[\s\S]*?)```/.exec(
        readFileSync(fromRoot('docs/studio.md'), 'utf8'),
      ) ?? [];
    const [support, reader] = [`support_${database.name}`, `reader_${database.name}`];
    await admin.query(
      said
        .replaceAll('support_reader', reader)
        .replaceAll(/\bsupport\b/g, support)
        .replaceAll('…', 'secret'),
    );
    const as = async (username: string) =>
      start({ url: Object.assign(new URL(database.url), { username, password: 'secret' }).href });
    const forget = { action: 'forget', subject: 'zoe', arguments: {}, reason: 'x', key: 'k' };
    try {
      const one = await as(reader);
      expect(one.readOnly).toMatch(/may read, and not change anything/);
      const { read, post } = await client(one);
      const { body } = await read<Subject>('subject?subject=maya');
      expect(body.limitsRefused?.code).toBe('42501');
      expect(body.limits).toContainEqual(
        expect.objectContaining({ feature: 'ai_generation', period: 'day', used: 20 }),
      );
      const paths = [
        'near',
        'subjects',
        'usage?unit=day',
        'attention',
        'plans',
        'live',
        'spots',
        'tidy',
      ];
      for (const path of [...paths, 'ledger?subject=maya', `moment?subject=maya&at=${BLOCKED}:00Z`])
        expect([path, (await read(path)).status]).toEqual([path, 200]);
      expect((await post('act', forget)).status).toBe(400);
      await one.close();

      const other = await as(support);
      expect(other.readOnly).toBeNull();
      expect(await (await client(other)).post('act', forget)).toMatchObject({ status: 200 });
      await other.close();
    } finally {
      await admin.query(
        `drop owned by ${reader}; drop role ${reader}; drop owned by ${support}; drop role ${support}`,
      );
    }
  });
});

test('a page of a list reads as much with 4,000 subjects as it shows, and has each of them once', async () => {
  await addCrowd(admin, 4_000);
  const { read } = await client(studio);
  const seen: string[] = [];
  let after: string | null = '';
  do {
    const { body }: { body: Page<NearRow> } = await read(`near?sort=used&after=${after}`);
    seen.push(
      ...body.rows.map(({ subject, feature, period }) => `${subject} ${feature} ${period}`),
    );
    after = body.next;
  } while (after);
  const { rows } = await admin.query(
    `select count(*)::int as all from public.usage_overview where status in ('warning', 'at_limit', 'over_limit')`,
  );
  expect(seen.length).toBe(rows[0].all);
  expect(new Set(seen).size).toBe(seen.length);

  const first = await read<Page<SubjectRow>>('subjects?prefix=user-00');
  expect(first.body.rows.length).toBe(50);
  const second = await read<Page<SubjectRow>>(`subjects?prefix=user-00&after=${first.body.next}`);
  expect(second.body.rows[0]?.subject).toBe('user-000051');

  // What the two lists ask, as the server asks it.
  const subjects = await rowsRead(
    admin,
    null,
    `select s.subject_id from quota.subjects as s where s.subject_id > 'user-002000' order by s.subject_id limit 51`,
  );
  expect(subjects.rows).toBeLessThanOrEqual(60);
  const some = first.body.rows.map(({ subject }) => `'${subject}'`).join();
  const fullest = await rowsRead(admin, null, FULLEST.replace('$1', `array[${some}]`));
  expect(fullest.rows).toBeLessThanOrEqual(1_000);
  // Of one subject everything is found by its id.
  const caps = await rowsRead(admin, null, CAPS.replace('$1', `'acme'`));
  expect(caps.answer.map(({ member }) => member)).toEqual(['lena', 'omar']);
  expect(caps.rows).toBeLessThanOrEqual(500);
  const near = await rowsRead(
    admin,
    null,
    `select subject from public.usage_overview where status in ('warning', 'at_limit', 'over_limit')
       and subject >= 'user-0001' and subject < 'user-0001\u{10FFFF}'
     order by percent_used desc, subject, feature, period limit 51`,
  );
  expect(near.rows).toBeLessThanOrEqual(500);
});

test('what does not exist is said before it starts', async () => {
  await expect(
    startStudio({
      databaseUrl: database.url,
      place: '',
      port: 0,
      isReadOnly: false,
      page: '/nowhere',
    }),
  ).rejects.toThrow(/page of the studio is not built/);
  const blank = await createDatabase({ from: 'empty' });
  try {
    await expect(start({ url: blank.url })).rejects.toThrow(/not installed/);
  } finally {
    await blank.drop();
  }
});

test('a slip on the command line is answered in a sentence', async () => {
  const studio = (...args: string[]) => pgquota(page, ['studio', ...args]);
  const slips = await Promise.all([studio('--port', 'http'), studio('--readonly'), studio()]);
  expect(slips.map(({ code }) => code)).toEqual([2, 2, 1]);
  expect(slips.map(({ output }) => output.split('\n')[0])).toEqual([
    'pgquota: --port is http; 0 (any that is free) to 65535 are possible',
    'pgquota: there is no option --readonly; did you mean --read-only?',
    'pgquota: No database named.',
  ]);
});
