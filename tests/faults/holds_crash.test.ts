// kill -9 of the server between reserve and commit, again and again: what was acknowledged is there after
// each restart, what got no answer is asked again, and in the end every job has been counted once.
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
import { calls, type Decision, decisionOf } from '../concurrency/holds.ts';
import { limitedTo } from '../concurrency/race.ts';
import { applyPlans } from '../support/plans.ts';

const ROUNDS = 5;
const SESSIONS = 6;
const HELD = 5;

/** A job reserves with its key, works, and is committed with 0, 3 or 7 units, or released. */
interface Job {
  key: string;
  subject: string;
  ending: 'commit' | 'release';
  used: number;
  hold?: Decision;
  end?: Decision;
}

test(`every job is held and ended once over ${ROUNDS} crashes`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-crash-'));
  chmodSync(folder, 0o711); // as root, Postgres runs as somebody else
  const release = guardFolder(folder);
  const start = () => startPostgres({ dataDirectory: join(folder, 'data'), durable: true });
  const jobs: Job[] = [];
  let server = await start();
  try {
    await withClient(server.url(), async (client) => {
      await ensureApiRoles(client);
      await migrate(server.url());
      await applyPlans(client, limitedTo(1_000_000));
    });
    for (let round = 1; round <= ROUNDS; round++) {
      await workUntilKilled(server, round, jobs);
      server = await start();
      await withClient(server.url(), (client) => prove(client, jobs));
    }
    await withClient(server.url(), async (client) => {
      expect(jobs.some(({ hold }) => !hold)).toBe(true);
      expect(jobs.some(({ hold, end }) => hold && !end)).toBe(true);
      for (const job of jobs) await work(client, job);
      await prove(client, jobs);
      await proveTheEnd(client, jobs);
    });
  } finally {
    await server.remove();
    rmSync(folder, { recursive: true, force: true });
    release();
  }
}, 180_000);

/**
 * Reserve and end; what has an answer already must be told it again. A hold that may have ended with nothing
 * is not asked for again: its key is free.
 */
async function work(client: pg.Client, job: Job) {
  const { subject, key } = job;
  if (!job.hold || job.used > 0) {
    const hold = await decisionOf(
      client,
      calls.reserve({ subject, amount: HELD, ttl: '1 day', key }),
    );
    if (job.hold) expect(hold).toEqual({ ...job.hold, replayed: true });
    job.hold ??= hold;
  }
  const id = (job.hold as Decision).reservation_id;
  const call = job.ending === 'commit' ? calls.commit(id, job.used) : calls.release(id);
  const end = await decisionOf(client, call);
  if (job.end) expect(end).toEqual({ ...job.end, replayed: true });
  job.end ??= end;
}

async function workUntilKilled(server: Postgres, round: number, jobs: Job[]) {
  const ended = () => jobs.filter(({ end }) => end).length;
  const enough = ended() + 20 + Math.floor(Math.random() * 60);
  let isKilled = false;
  const sessions = Array.from({ length: SESSIONS }, async (_, at) => {
    const client = new pg.Client(server.url());
    client.on('error', () => {});
    await client.connect();
    for (let n = 0; ; n++) {
      const job: Job = {
        key: `${round}-${at}-${n}`,
        subject: n % 2 ? 'odd' : 'even',
        ending: n % 4 ? 'commit' : 'release',
        used: n % 4 ? ([0, 3, 7][n % 3] as number) : 0,
      };
      jobs.push(job);
      try {
        await work(client, job);
      } catch (error) {
        if (!isKilled) throw error;
        await client.end().catch(() => {});
        return;
      }
    }
  });
  const killer = async () => {
    while (ended() < enough) await sleep(1);
    isKilled = true;
    await server.kill();
  };
  await Promise.all([killer(), ...sessions]);
}

/** What was acknowledged is there; and no hold ended twice. */
async function prove(client: pg.Client, jobs: Job[]) {
  const { rows: mismatches } = await client.query('select * from public.verify_usage()');
  expect(mismatches).toEqual([]);
  const { rows } = await client.query<{ id: string; state: string; ends: number }>(
    `select r.reservation_id as id, r.state, count(e.event_id)::integer as ends
     from quota.reservations as r
     left join quota.events as e
       on e.subject_id = r.subject_id
       and e.about_id = r.reservation_id
       and e.kind in ('commit', 'release')
     group by r.subject_id, r.reservation_id`,
  );
  const stored = new Map(rows.map((row) => [row.id, row]));
  for (const { hold, end, ending } of jobs) {
    if (!hold) continue;
    const row = stored.get(hold.reservation_id);
    if (end) expect(row).toMatchObject({ state: ending === 'commit' ? 'committed' : 'released' });
    else expect(row, 'a hold that was acknowledged').toBeDefined();
  }
  for (const { state, ends } of rows) expect(ends).toBe(state === 'open' ? 0 : 1);
}

async function proveTheEnd(client: pg.Client, jobs: Job[]) {
  const used = (subject: string) =>
    jobs.reduce((sum, job) => sum + (job.subject === subject ? job.used : 0), 0);
  const { rows } = await client.query(
    `select subject, used::integer, reserved::integer from public.current_usage
     where feature = 'ai_generation' order by subject`,
  );
  expect(rows).toEqual([
    { subject: 'even', used: used('even'), reserved: 0 },
    { subject: 'odd', used: used('odd'), reserved: 0 },
  ]);
  const { rows: holds } = await client.query('select from quota.reservations');
  expect(holds).toHaveLength(jobs.length);
}
