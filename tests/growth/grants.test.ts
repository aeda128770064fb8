/** Grants that have nothing more to give are walked over by no call. */
import type pg from 'pg';
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { createDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { rowsRead } from './reads.ts';

const NOON = '2026-09-15T12:00:00Z';

/** Nothing of the plan is left, one grant of a million is open, and so many are spent, expired and void. */
async function withGrants<T>(ended: number, work: (owner: pg.Client) => Promise<T>): Promise<T> {
  const database = await createDatabase();
  try {
    const owner = await database.connect();
    await setClock(owner, NOON);
    await applyPlans(owner, {
      features: { export: {} },
      plans: { free: { default: true, limits: { export: { month: 0 } } } },
    });
    await owner.query(`insert into quota.subjects (subject_id, has_extras) values ('ada', true)`);
    await owner.query(
      `insert into quota.grants (subject_id, grant_id, feature_id, amount, granted_at, expires_at, voided_at)
       select 'ada', gen_random_uuid(), 'export', 1, timestamptz '2026-09-01Z', k.expires_at, k.voided_at
       from generate_series(1, $1::int) as n
       cross join (values
         (timestamptz '2026-10-01Z', null::timestamptz), ('2026-09-10Z', null), ('2026-10-01Z', '2026-09-11Z')
       ) as k (expires_at, voided_at)`,
      [ended],
    );
    for (let left = ended; left > 0; left -= 500) {
      const { rows } = await owner.query(
        `select (public.consume_usage('export', $1, 'ada')).allowed`,
        [Math.min(left, 500)],
      );
      expect(rows).toEqual([{ allowed: true }]);
    }
    await owner.query(`select public.grant_usage('export', 1000000, 'ada')`);
    await owner.query('vacuum analyze quota.grants');
    const result = await work(owner);
    expect((await owner.query('select * from public.verify_usage()')).rows).toEqual([]);
    return result;
  } finally {
    await database.drop();
  }
}

const CALLS = {
  'consume_usage that draws': `select (public.consume_usage('export', 1, 'ada')).allowed`,
  'reserve_usage that draws': `select (public.reserve_usage('export', 1, 'ada')).allowed`,
  check_usage: `select (public.check_usage('export', 1, 'ada')).allowed`,
  'the usage bar': `select true as allowed from public.current_usage where subject = 'ada'`,
};

test('calls read as many grants with 10 spent, expired and void ones as with 10,000', async () => {
  const read = (ended: number) =>
    withGrants(ended, async (owner) => {
      const found: Record<string, number> = {};
      for (const [name, call] of Object.entries(CALLS)) {
        const { rows, answer } = await rowsRead(owner, call, 'grants');
        expect(answer, name).toEqual([{ allowed: true }]);
        found[name] = rows;
      }
      return found;
    });
  const few = await read(10);
  const many = await read(10_000);
  for (const name of Object.keys(CALLS)) {
    expect(many[name], name).toBeLessThanOrEqual(few[name] as number);
    expect(many[name], name).toBeLessThan(10);
  }
}, 120_000);

test('what a hold has drawn keeps its grant open, and what a refund gives back opens it again', () =>
  withGrants(1, async (owner) => {
    const state = async () => {
      const { rows } = await owner.query(
        `select amount::int, drawn::int, is_spent
        from quota.grants where expires_at > $1 and voided_at is null order by amount, granted_at`,
        [NOON],
      );
      return rows.map((row) => `${row.drawn}/${row.amount}${row.is_spent ? ' spent' : ''}`);
    };
    const call = async (text: string) => (await owner.query(text)).rows[0];
    expect(await state()).toEqual(['1/1 spent', '0/1000000']);

    // A hold takes all there is; committed, it is spent, and the next draw notes it.
    const hold = await call(
      `select * from public.reserve_usage('export', 1000000, 'ada', '1 minute')`,
    );
    expect(await state()).toEqual(['1/1 spent', '1000000/1000000']);
    await owner.query('begin');
    await call(`select public.commit_usage('${hold.reservation_id}')`);
    await call(`select public.grant_usage('export', 2, 'ada')`);
    await call(`select public.consume_usage('export', 1, 'ada')`);
    expect(await state()).toEqual(['1/1 spent', '1/2', '1000000/1000000 spent']);
    await owner.query('rollback');

    // Expired, its draws are free again at that instant, before and after anything is settled.
    await setClock(owner, '2026-09-15T12:01:00Z');
    const free = `select allowed, granted::int from public.check_usage('export', 1000000, 'ada')`;
    expect(await call(free)).toEqual({ allowed: true, granted: 1000000 });
    const all = await call(`select * from public.consume_usage('export', 1000000, 'ada')`);
    expect(all.allowed).toBe(true);
    expect(await state()).toEqual(['1/1 spent', '1000000/1000000 spent']);
    expect((await call(`select * from public.consume_usage('export', 1, 'ada')`)).allowed).toBe(
      false,
    );
    await call(`select public.refund_usage('${all.event_id}', 7)`);
    expect(await state()).toEqual(['1/1 spent', '999993/1000000']);
    const left = await call(
      `select allowed, granted::int from public.consume_usage('export', 7, 'ada')`,
    );
    expect(left).toEqual({ allowed: true, granted: 0 });
    expect(await state()).toEqual(['1/1 spent', '1000000/1000000 spent']);
  }));

test('a grant that one hold and one use share is spent when the hold has ended', () =>
  withGrants(1, async (owner) => {
    const open = async () =>
      (
        await owner.query(`select count(*)::int as n from quota.grants where not is_spent and drawn = amount
        and amount > 1`)
      ).rows[0].n;
    const { rows } = await owner.query(
      `select reservation_id from public.reserve_usage('export', 1, 'ada', '1 hour')`,
    );
    await owner.query(`select public.consume_usage('export', 999999, 'ada')`);
    expect(await open()).toBe(1);
    await owner.query(`select public.release_usage('${rows[0].reservation_id}')`);
    await owner.query(`select public.consume_usage('export', 1, 'ada')`);
    expect(await open()).toBe(0);
  }));
