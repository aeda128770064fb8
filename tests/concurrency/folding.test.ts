// quota.tidy(keep) beside those who use, commit, refund, merge and forget: nothing is lost, counts twice or
// waits, whoever comes first.
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { calls, decisionOf, outcomeOf, startBlocked } from './holds.ts';
import { run } from './race.ts';

const CATALOGUE = {
  features: { ai_generation: {}, credit: {}, image: { costs: { credit: 2 } } },
  plans: {
    free: {
      default: true,
      limits: {
        ai_generation: { day: 10_000 },
        credit: { day: 10_000 },
        image: { day: null },
      },
    },
  },
};

test('what two folders and ten callers do through thirty days adds up to what the callers were told', () =>
  run(async (race) => {
    const { database, owner } = race;
    await applyPlans(owner, CATALOGUE);
    const pool = database.pool(10);
    await pool.query('select 1');
    const subjects = ['one', 'two', 'three'];
    const expected = new Map<string, number>();
    const uses: { subject: string; event: string }[] = [];
    const holds: string[] = [];
    let isDone = false;
    let folded = 0;
    const folding = ['first', 'second'].map(async () => {
      const folder = await database.connect();
      while (!isDone) {
        const { rows } = await folder.query(`select quota.tidy(interval '1 day')::integer as n`);
        folded += rows[0].n;
        await new Promise((resolve) => setTimeout(resolve, 40));
      }
    });
    // A day is ten calls long.
    let made = 0;
    const pass = async () => {
      if (++made % 10 === 0) await setClock(owner, { offset: `${made / 10} days` });
    };
    const count = (subject: string, amount: number) =>
      expected.set(subject, (expected.get(subject) ?? 0) + amount);
    let given = 0;
    let refused = 0;
    const callers = Array.from({ length: 10 }, async (_, caller) => {
      for (let n = 0; n < 30; n++) {
        await pass();
        const subject = subjects[(caller + n) % 3] as string;
        const feature = n % 5 === 0 ? 'image' : 'ai_generation';
        if (n % 4 < 2) {
          const use = await decisionOf(pool, calls.consume({ subject, feature, amount: 2 }));
          count(subject, 2);
          uses.push({ subject, event: use.event_id });
        } else if (n % 4 === 2) {
          const hold = await decisionOf(pool, calls.reserve({ subject, ttl: '7 days' }));
          holds.push(hold.reservation_id);
          const ended = holds.shift() as string;
          const commit = await decisionOf(pool, calls.commit(ended, 3)).catch(
            (error) => error.code,
          );
          if (commit.subject) count(commit.subject, 3);
          else expect(commit).toBe('QRSRV');
        } else {
          const [use] = uses.splice(Math.floor(Math.random() * uses.length), 1);
          if (!use) continue;
          const back = await decisionOf(pool, calls.refund(use.event, 1)).catch(
            (error) => error.code,
          );
          if (back.subject) {
            given++;
            count(use.subject, -1);
          } else {
            refused++;
            expect(back).toBe('QRSRV');
          }
        }
      }
    });
    await Promise.all(callers);
    isDone = true;
    await Promise.all(folding);
    expect(given).toBeGreaterThan(0);
    const { rows } = await owner.query(
      `select subject, sum(used_change)::integer as used from usage_events
       where feature in ('ai_generation', 'image') group by 1`,
    );
    expect(new Map(rows.map(({ subject, used }) => [subject, used]))).toEqual(expected);
    expect(refused + given).toBeGreaterThan(20);
    // One line for each day of a feature, once all has come to rest.
    await setClock(owner, { offset: '90 days' });
    for (const _ of ['uses', 'what they took elsewhere']) {
      folded += (await owner.query(`select quota.tidy(interval '1 day')::integer as n`)).rows[0].n;
    }
    expect(folded).toBeGreaterThan(100);
    const { rows: twice } = await owner.query(
      `select e.subject, e.feature, h.period_start, count(*) from usage_events as e
       join usage_history as h on h.subject = e.subject and h.feature = e.feature
         and e.counts_at >= h.period_start and e.counts_at < h.period_end
       group by 1, 2, 3 having count(*) > 1`,
    );
    expect(twice).toEqual([]);
  }));

test('what a refund gives back of stays until the refund has ended, with what it took elsewhere', () =>
  run(async (race) => {
    const { database, owner } = race;
    await applyPlans(owner, CATALOGUE);
    const [caller, folder] = [await database.connect(), await database.connect()];
    const use = await decisionOf(
      caller,
      calls.consume({ subject: 'one', feature: 'image', amount: 3 }),
    );
    const other = await decisionOf(
      caller,
      calls.consume({ subject: 'one', feature: 'image', amount: 2 }),
    );
    await setClock(owner, { offset: '10 days' });
    const tidy = () => folder.query(`select quota.tidy(interval '1 day')`);
    await caller.query('begin');
    await decisionOf(caller, calls.refund(use.event_id, 1));
    await tidy();
    const { rows } = await owner.query(
      `select event_id from usage_events where kind = 'consume' and feature = 'image'`,
    );
    expect(rows).toEqual([{ event_id: use.event_id }]);
    await caller.query('commit');

    // The other way round: the refund waits, and finds that it came too late.
    await folder.query('begin');
    await setClock(owner, { offset: '20 days' });
    await tidy();
    const late = await startBlocked(race, caller, calls.refund(use.event_id, 1));
    await folder.query('commit');
    expect(await outcomeOf(late.answer)).toBe('QRSRV');
    expect(await outcomeOf(decisionOf(caller, calls.refund(other.event_id, 1)))).toBe('QRSRV');
    const { rows: sums } = await owner.query(
      `select feature, sum(used_change)::integer as used from usage_events group by 1 order by 1`,
    );
    expect(sums).toEqual([
      { feature: 'credit', used: 8 },
      { feature: 'image', used: 4 },
    ]);
  }));

test('uses that somebody gave back of meanwhile join the line of their day all the same, whichever was held', () =>
  run(async (race) => {
    const { database, owner } = race;
    await applyPlans(owner, CATALOGUE);
    const [server, holder] = await Promise.all([race.server(), database.connect()]);
    const use = () => decisionOf(server, calls.consume({ subject: 'ada', feature: 'image' }));
    await setClock(owner, '2026-01-10T10:00:00Z');
    const first = await use();
    await setClock(owner, '2026-01-10T11:00:00Z');
    await use();
    await setClock(owner, '2026-01-11T10:00:00Z');
    const nextDay = await use();
    await setClock(owner, '2026-03-10T12:00:00Z');
    for (const held of [[first, nextDay], [nextDay]]) {
      await holder.query('begin');
      await holder.query(`select from quota.events where event_id = any ($1) for update`, [
        held.map((use) => use.event_id),
      ]);
      await owner.query(`select quota.tidy(interval '1 day')`);
      await holder.query('commit');
      await setClock(owner, { offset: '2 days' });
    }
    await owner.query(`select quota.tidy(interval '1 day')`);
    const { rows } = await owner.query(
      `select kind, counts_at::date::text as day, used_change::integer as used from usage_events
       where subject = 'ada' and feature = 'image' order by counts_at`,
    );
    expect(rows).toEqual([
      { kind: 'fold', day: '2026-01-10', used: 2 },
      { kind: 'fold', day: '2026-01-11', used: 1 },
    ]);
  }));

test('a call, a commit and the refund of a recent use wait for no folder; who changes a subject does, and nothing is folded twice', () =>
  run(async (race) => {
    const { owner } = race;
    const [server, other] = await Promise.all([race.server(), race.server()]);
    const old = await decisionOf(server, calls.consume({ subject: 'ada', amount: 4 }));
    await decisionOf(server, calls.consume({ subject: 'ada', feature: 'export', amount: 2 }));
    await setClock(owner, '2026-03-10T12:00:00Z');
    const recent = await decisionOf(server, calls.consume({ subject: 'ada', amount: 5 }));
    const hold = await decisionOf(server, calls.reserve({ subject: 'ada' }));
    await owner.query('begin');
    expect((await owner.query(`select quota.tidy(interval '1 day')`)).rows).toEqual([
      { tidy: '2' },
    ]);
    await server.query(`set lock_timeout = '500ms'`);
    expect(await decisionOf(server, calls.consume({ subject: 'ada' }))).toMatchObject({ used: 6 });
    expect(await decisionOf(server, calls.commit(hold.reservation_id))).toMatchObject({ used: 7 });
    expect(await decisionOf(server, calls.refund(recent.event_id))).toMatchObject({ used: 2 });
    const second = await race.database.connect();
    expect((await second.query(`select quota.tidy(interval '1 day')`)).rows).toEqual([
      { tidy: '0' },
    ]);
    const merge = other.query(`select public.merge_subjects('ada', 'eve')`);
    await owner.query('commit');
    await merge;
    await expect(decisionOf(server, calls.refund(old.event_id))).rejects.toMatchObject({
      code: 'QRSRV',
    });
    const { rows } = await owner.query(
      `select feature, sum(used_change)::integer as used from usage_events
       where subject = 'eve' and counts_at < '2026-02-01' and feature is not null group by 1 order by 1`,
    );
    expect(rows).toEqual([
      { feature: 'ai_generation', used: 4 },
      { feature: 'export', used: 2 },
    ]);
    expect((await owner.query(`select * from usage_events where subject = 'ada'`)).rows).toEqual(
      [],
    );
  }));
