// kill -9 of the server under load, again and again. The clients keep a log of what they were told;
// afterwards every call they know of was counted once, and every other one once or not at all.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { type Postgres, startPostgres } from '../../scripts/local/postgres.ts';
import { ensureApiRoles } from '../../scripts/local/roles.ts';
import { guardFolder } from '../../scripts/local/warden.ts';
import { consume, ledgerOf, limitedTo } from '../concurrency/race.ts';
import { applyPlans } from '../support/plans.ts';

const ROUNDS = 10;
const SESSIONS = 8;
const SUBJECTS = ['first', 'second', 'third'];
/** No limit is reached: every call that arrives counts. */
const LIMIT = 1_000_000;

interface Call {
  subject: string;
  key: string;
}

/** Two of three calls carry a key; the others are known by their event, once it was told. */
interface Log {
  acknowledged: { call: Call; event: string }[];
  unanswered: Call[];
  withoutKey: { subject: string; event: string }[];
  /** Calls without a key that got no answer: each may have counted once. */
  unknown: number;
}

test(`every acknowledged call is counted once after each of ${ROUNDS} crashes, every other at most once`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-crash-'));
  chmodSync(folder, 0o711); // as root, Postgres runs as somebody else
  const release = guardFolder(folder);
  const start = () => startPostgres({ dataDirectory: join(folder, 'data'), durable: true });
  const log: Log = { acknowledged: [], unanswered: [], withoutKey: [], unknown: 0 };
  let server = await start();
  try {
    await withClient(server.url(), async (client) => {
      await ensureApiRoles(client);
      await migrate(server.url());
      await applyPlans(client, limitedTo(LIMIT));
    });
    for (let round = 1; round <= ROUNDS; round++) {
      await loadUntilKilled(server, round, log);
      server = await start();
      await withClient(server.url(), (client) => prove(client, log));
    }
    await withClient(server.url(), (client) => retryUnanswered(client, log));
  } finally {
    await server.remove();
    rmSync(folder, { recursive: true, force: true });
    release();
  }
}, 180_000);

async function loadUntilKilled(server: Postgres, round: number, log: Log): Promise<void> {
  const told = () => log.acknowledged.length + log.withoutKey.length;
  const enough = told() + 20 + Math.floor(Math.random() * 200);
  let isKilled = false;
  const clients = await Promise.all(
    Array.from({ length: SESSIONS }, async () => {
      const client = new pg.Client(server.url());
      client.on('error', () => {});
      await client.connect();
      return client;
    }),
  );
  const sessions = clients.map(async (client, at) => {
    for (let n = 0; ; n++) {
      const subject = SUBJECTS[(at + n) % SUBJECTS.length] as string;
      const call = { subject, key: `${round}-${at}-${n}` };
      const isKeyed = n % 3 !== 0;
      try {
        const { event_id } = await consume(client, isKeyed ? call : { subject });
        if (isKeyed) log.acknowledged.push({ call, event: event_id });
        else log.withoutKey.push({ subject, event: event_id });
      } catch (error) {
        if (!isKilled) throw error;
        if (isKeyed) log.unanswered.push(call);
        else log.unknown++;
        await client.end().catch(() => {});
        return;
      }
    }
  });
  const killer = async () => {
    while (told() < enough) await sleep(1);
    isKilled = true;
    await server.kill();
  };
  await Promise.all([killer(), ...sessions]);
}

async function prove(client: pg.Client, log: Log): Promise<void> {
  const { rows: mismatches } = await client.query('select * from public.verify_usage()');
  expect(mismatches).toEqual([]);

  const lines = [];
  for (const subject of SUBJECTS) lines.push(...(await ledgerOf(client, subject)));
  const events = new Set(lines.map((line) => line.event_id));
  const keys = lines.map((line) => line.idempotency_key).filter((key) => key !== null);
  expect(events.size).toBe(lines.length);
  expect(new Set(keys).size).toBe(keys.length);

  // Acknowledged means counted, under the event that was told.
  const told = [...log.acknowledged, ...log.withoutKey].map(({ event }) => event);
  expect(told.filter((event) => !events.has(event))).toEqual([]);

  // What is in the ledger beyond that was asked for, and got no answer.
  const asked = new Set(
    [...log.acknowledged.map(({ call }) => call), ...log.unanswered].map(({ key }) => key),
  );
  expect(keys.filter((key) => !asked.has(key))).toEqual([]);
  const withoutKey = lines.length - keys.length;
  expect(withoutKey).toBeGreaterThanOrEqual(log.withoutKey.length);
  expect(withoutKey).toBeLessThanOrEqual(log.withoutKey.length + log.unknown);
}

/** A client that got no answer tries again with its key: afterwards its call is counted once. */
async function retryUnanswered(client: pg.Client, log: Log): Promise<void> {
  expect(log.unanswered.length).toBeGreaterThan(0);
  for (const call of log.unanswered) {
    expect(await consume(client, call)).toMatchObject({ allowed: true });
  }
  for (const { call, event } of log.acknowledged) {
    expect(await consume(client, call)).toMatchObject({ replayed: true, event_id: event });
  }
  await prove(client, log);
  const { rows } = await client.query(
    'select from public.usage_events where idempotency_key is not null',
  );
  expect(rows).toHaveLength(log.unanswered.length + log.acknowledged.length);
}
