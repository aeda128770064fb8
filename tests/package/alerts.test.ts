// npx pgquota alerts, against a real receiver that fails, hangs, redirects and goes away: no alert is lost.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { startRest } from '../support/rest.ts';
import { createProject, pgquota, startPgquota, start as startProcess } from './cli.ts';
import { type Receiver, startReceiver } from './receiver.ts';

const secret = `whsec_${randomBytes(24).toString('base64')}`;
const project = createProject();
let database: TestDatabase;
let client: pg.Client;
let receiver: Receiver;
let count = 0;
const running: { kill(signal: NodeJS.Signals): void }[] = [];

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
  await applyPlans(client, {
    features: { ai_generation: {} },
    plans: { free: { default: true, limits: { ai_generation: { month: 50 } } } },
  });
});
afterAll(async () => {
  project.remove();
  await database.drop();
});
beforeEach(async () => {
  await client.query('delete from quota.alerts');
  receiver = await startReceiver(secret);
});
afterEach(async () => {
  for (const one of running.splice(0)) one.kill('SIGKILL');
  await receiver.stop();
  expect(receiver.wrong).toEqual([]);
});

const environment = () => ({ DATABASE_URL: database.url, PGQUOTA_WEBHOOK_SECRET: secret });
const once = (...args: string[]) =>
  pgquota(project.folder, ['alerts', '--webhook', receiver.url, '--once', ...args], environment());
function start(...args: string[]) {
  const deliverer = startPgquota(
    project.folder,
    ['alerts', '--webhook', receiver.url, ...args],
    environment(),
  );
  running.push(deliverer);
  return deliverer;
}

/** New subjects of which each crosses 80 %. */
async function cross(subjects = 1): Promise<string[]> {
  const names = Array.from({ length: subjects }, () => `subject-${++count}`);
  await client.query(
    `select public.consume_usage('ai_generation', 40, s) from unnest($1::text[]) as s`,
    [names],
  );
  return names;
}
async function waiting(): Promise<number> {
  const { rows } = await client.query(
    'select count(*)::int as alerts from quota.alerts where acknowledged_at is null',
  );
  return rows[0].alerts;
}
const processesWith = (text: string) =>
  execFileSync('ps', ['-A', '-ww', '-o', 'args='], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(text))
    .join('\n');
/** As if five minutes had gone by. */
const fiveMinutesLater = () =>
  client.query(`update quota.alerts set handed_at = handed_at - interval '5 minutes'`);
const subjectsOf = ({ requests }: Receiver) => requests.map(({ event }) => event.data.subject);

describe('pgquota alerts', () => {
  test('delivers what there is, signed, once', async () => {
    const [subject] = await cross();
    await client.query(`select public.consume_usage('ai_generation', 10, $1)`, [subject]);
    const { code, output } = await once();
    expect(output).toMatch(/2 delivered\./);
    expect(code).toBe(0);
    const { rows } = await client.query(
      'select alert_id, at, period_start from public.usage_alerts order by threshold',
    );
    expect(
      receiver.requests.sort((a, b) => a.event.data.threshold - b.event.data.threshold),
    ).toEqual(
      [80, 100].map((threshold, at) => ({
        id: rows[at].alert_id,
        event: {
          type: 'usage.alert',
          timestamp: rows[at].at.toISOString(),
          data: {
            subject,
            feature: 'ai_generation',
            period: 'month',
            period_start: rows[at].period_start.toISOString(),
            threshold,
            used: threshold / 2,
            limit: 50,
          },
        },
      })),
    );
    expect(await waiting()).toBe(0);
    expect((await once()).output).toMatch(/0 delivered\./);
    expect(receiver.requests).toHaveLength(2);
  });

  test('tries again, with the same id, until the receiver takes it', async () => {
    await cross();
    receiver.next(500, 'cut', 400);
    const { code } = await once();
    expect(code).toBe(0);
    expect(receiver.requests).toHaveLength(4);
    expect(new Set(receiver.requests.map(({ id }) => id)).size).toBe(1);
    expect(await waiting()).toBe(0);
  });

  test('does not wait for a receiver that hangs longer than it is told', async () => {
    await cross();
    receiver.next('silence');
    expect((await once('--timeout', '1')).code).toBe(0);
    expect(receiver.requests).toHaveLength(2);
    expect(await waiting()).toBe(0);
  });

  test('follows no redirect: it is no arrival, and comes again after five minutes', async () => {
    const elsewhere = await startReceiver(secret);
    const [subject] = await cross();
    receiver.always = { status: 307, headers: { location: elsewhere.url } };
    const { code, output } = await once();
    expect(code).toBe(1);
    expect(output).toMatch(/307, and redirects are not followed/);
    expect(elsewhere.requests).toEqual([]);
    await elsewhere.stop();

    receiver.always = 204;
    expect((await once()).output).toMatch(/0 delivered/); // it was handed out just now
    expect(await waiting()).toBe(1);
    await fiveMinutesLater();
    expect((await once()).code).toBe(0);
    expect(receiver.arrived).toHaveLength(1);
    expect(new Set(subjectsOf(receiver))).toEqual(new Set([subject]));
    expect(await waiting()).toBe(0);
  });

  test('leaves a receiver alone that asks for it, and keeps the alert', async () => {
    await cross();
    receiver.always = { status: 503, headers: { 'retry-after': '3600' } };
    expect((await once()).code).toBe(1);
    expect(receiver.requests).toHaveLength(1);
    expect(await waiting()).toBe(1);
  });

  test('one that is refused holds up no other', async () => {
    await cross(25);
    receiver.next({ status: 503, headers: { 'retry-after': '3600' } });
    const { code } = await once();
    expect(code).toBe(1);
    expect(receiver.arrived).toHaveLength(24);
    expect(await waiting()).toBe(1);
  });

  test('ends when the receiver says 410, and the alert is kept', async () => {
    await cross();
    receiver.always = 410;
    const { code, output } = await start().ended;
    expect(code).toBe(1);
    expect(output).toMatch(/410/);
    expect(await waiting()).toBe(1);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'runs until %s, and finishes what is on its way',
    async (signal) => {
      const deliverer = start();
      await deliverer.said(/→/);
      await cross();
      await expect.poll(() => receiver.arrived.length).toBe(1);
      let answer = () => {};
      receiver.next(
        new Promise<void>((resolve) => {
          answer = resolve;
        }),
      );
      await cross();
      await expect.poll(() => receiver.requests.length).toBe(2);
      deliverer.kill(signal);
      await deliverer.said(/stopping/);
      await cross(); // not any more
      answer();
      expect((await deliverer.ended).code).toBe(0);
      expect(receiver.arrived).toHaveLength(2);
      expect(await waiting()).toBe(1);
    },
  );

  test('ends with the npx that started it, also if that had no time to say so', async () => {
    const tsx = import.meta.resolve('tsx');
    const line = `node --import ${tsx} ${fromRoot('cli/main.ts')} alerts --webhook ${receiver.url}`;
    const npx = startProcess('npm', ['exec', '-c', line], {
      cwd: project.folder,
      environment: environment(),
    });
    running.push(npx);
    await npx.said(/→/);
    expect(processesWith(receiver.url)).toMatch(/cli\/main\.ts/);
    npx.kill('SIGKILL');
    await expect.poll(() => processesWith(receiver.url)).toBe('');
  });

  test('is stopped at once while it waits for better times', async () => {
    await cross();
    receiver.always = { status: 503, headers: { 'retry-after': '3600' } };
    const deliverer = start();
    await deliverer.said(/nothing arrives/);
    deliverer.kill('SIGTERM');
    expect((await deliverer.ended).code).toBe(0);
  });

  test('two at once share the work: each alert arrives once', async () => {
    const deliverers = [start(), start()];
    await Promise.all(deliverers.map((one) => one.said(/→/)));
    const subjects: string[] = [];
    for (let round = 0; round < 6; round++) subjects.push(...(await cross(15)));
    await expect.poll(() => waiting()).toBe(0);
    expect(subjectsOf(receiver).sort()).toEqual(subjects.sort());
    for (const one of deliverers) one.kill('SIGTERM');
    for (const one of deliverers) expect((await one.ended).code).toBe(0);
  });

  test('of one that is killed nothing is lost: another delivers what it had', async () => {
    const subjects = await cross(15);
    receiver.always = 'silence';
    const first = start();
    await expect.poll(() => receiver.requests.length).toBe(15);
    first.kill('SIGKILL');
    await first.ended;
    receiver.always = 204;
    await fiveMinutesLater();
    const second = start();
    subjects.push(...(await cross(5)));
    await expect.poll(() => waiting()).toBe(0);
    second.kill('SIGTERM');
    await second.ended;
    const arrived = receiver.requests.filter(({ id }) => receiver.arrived.includes(id));
    expect([...new Set(arrived.map(({ event }) => event.data.subject))].sort()).toEqual(
      subjects.sort(),
    );
  });

  test('a database that went away meanwhile learns of the arrival when it is back', async () => {
    const deliverer = start();
    let answer = () => {};
    receiver.next(
      new Promise<void>((resolve) => {
        answer = resolve;
      }),
    );
    await cross();
    await expect.poll(() => receiver.requests.length).toBe(1);
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'pgquota' and datname = current_database()`,
    );
    answer();
    await deliverer.said(/no database/);
    await expect.poll(() => waiting()).toBe(0);
    await cross();
    await expect.poll(() => receiver.arrived.length).toBe(2);
    expect(receiver.requests).toHaveLength(2);
    deliverer.kill('SIGTERM');
    expect((await deliverer.ended).code).toBe(0);
  });

  test.each<[string, string[], NodeJS.ProcessEnv, number, RegExp]>([
    ['no address', [], {}, 2, /--webhook/],
    ['an address that is none', ['--webhook', 'ftp://x'], {}, 1, /address/],
    ['a password in it', ['--webhook', 'https://a:b@x.example'], {}, 1, /address/],
    [
      'a timeout of no seconds',
      ['--webhook', 'http://x', '--timeout', '0'],
      {},
      2,
      /--timeout is 0/,
    ],
    ['no secret', ['--webhook', 'http://x'], { PGQUOTA_WEBHOOK_SECRET: '' }, 1, /is not set/],
    [
      'a short one',
      ['--webhook', 'http://x'],
      { PGQUOTA_WEBHOOK_SECRET: 'whsec_aGk=' },
      1,
      /24 bytes/,
    ],
    [
      'no text of base64',
      ['--webhook', 'http://x'],
      { PGQUOTA_WEBHOOK_SECRET: 'ä'.repeat(40) },
      1,
      /24 bytes/,
    ],
    [
      'no database',
      ['--webhook', 'http://x'],
      { DATABASE_URL: 'postgresql://127.0.0.1:1/x' },
      1,
      /Nothing answers/,
    ],
  ])('says what is wrong with %s', async (_, args, given, expected, message) => {
    const { code, output } = await pgquota(project.folder, ['alerts', ...args], {
      ...environment(),
      ...given,
    });
    expect(output).toMatch(message);
    expect(output).not.toMatch(/\n {4}at /); // no stack
    expect(code).toBe(expected);
  });

  test('says so where pgquota is not installed', async () => {
    const empty = await createDatabase({ from: 'empty' });
    const { code, output } = await pgquota(
      project.folder,
      ['alerts', '--webhook', receiver.url, '--once'],
      { ...environment(), DATABASE_URL: empty.url },
    );
    await empty.drop();
    expect(output).toMatch(/npx pgquota init/);
    expect(code).toBe(1);
  });
});

describe('docs/alerts.md', () => {
  const guide = readFileSync(fromRoot('docs/alerts.md'), 'utf8');
  const blocks = (language: string) =>
    [...guide.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(
      (match) => match[1] as string,
    );
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(import.meta.dirname, '.run-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  async function load(code: string, given: object) {
    Object.assign(globalThis, given);
    const file = join(folder, `${randomBytes(4).toString('hex')}.ts`);
    writeFileSync(file, code.replaceAll("'pgquota'", "'../../../types/index.ts'"));
    return import(pathToFileURL(file).href);
  }

  test('has a receiver that takes what is signed, and nothing else', async () => {
    process.env.PGQUOTA_WEBHOOK_SECRET = secret;
    const mails: string[] = [];
    const sendMail = (...mail: string[]) => void mails.push(mail.join(': '));
    const { POST } = await load(blocks('ts')[0] as string, { sendMail });
    const data = { subject: 'ada', feature: 'ai_generation', used: 40, limit: 50 };
    const body = JSON.stringify({ type: 'usage.alert', data });
    const send = (key: string) => {
      const now = new Date();
      return POST(
        new Request('http://localhost/', {
          method: 'POST',
          body,
          headers: {
            'webhook-id': 'one',
            'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
            'webhook-signature': new Webhook(key).sign('one', now, body),
          },
        }),
      );
    };
    expect((await send(secret)).status).toBe(204);
    expect((await send(`whsec_${randomBytes(24).toString('base64')}`)).status).toBe(401);
    expect(mails).toEqual(['ada: 40 of 50 ai_generation used']);
  });

  test('has a job over the client that acknowledges what it has told', async () => {
    const rest = await startRest(database);
    const [subject] = await cross();
    const mails: string[] = [];
    const sendMail = (...mail: string[]) => void mails.push(mail.join(': '));
    await load(blocks('ts')[1] as string, { supabase: rest.asService(), sendMail });
    await rest.stop();
    expect(mails).toEqual([`${subject}: 80 % of ai_generation used`]);
    expect(await waiting()).toBe(0);
  });

  test('has a trigger that queues each alert in the transaction that crosses', async () => {
    for (const sql of blocks('sql')) await client.query(sql);
    const [subject] = await cross();
    const { rows } = await client.query('select alert from mail_queue');
    expect(rows).toEqual([{ alert: { subject, feature: 'ai_generation', threshold: 80 } }]);
    await client.query('drop trigger queue_alert on quota.alerts');
  });
});
