// Names with a team above them and keys below them are merged into one account of another team, while all of them are
// used, by members under caps: nothing is lost, nothing counts twice, nobody deadlocks.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import { run } from './race.ts';

const PLANS = {
  features: { call: {}, file: { kind: 'gauge' } },
  plans: {
    org: {
      limits: { call: { month: 100_000 }, file: { lifetime: 100_000 } },
      per_member: { call: { month: 50_000 } },
    },
  },
};

test('visitors of one team become an account of another, while they, their keys and both teams are used', () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    const visitors = Array.from({ length: 6 }, (_, n) => `m-visitor-${n}`);
    // Names in every order: above before below, and the other way round.
    await race.owner.query(
      `select public.set_plan('z-left', 'org'), public.set_plan('a-right', 'org'), public.set_parent('account', 'a-right');
       select public.set_parent(v, 'z-left'), public.set_parent('k' || v, v), public.set_parent('z' || v, v)
       from unnest($visitors$${`{${visitors}}`}$visitors$::text[]) as v`,
    );
    const codes: Record<string, number> = {};
    const taken = { call: 0, file: 0 };
    const ids: string[] = [];
    let isOver = false;
    const tried = async <T>(work: () => Promise<T>) => {
      try {
        return await work();
      } catch (error) {
        const { code = String(error) } = error as pg.DatabaseError;
        codes[code] = (codes[code] ?? 0) + 1;
        return null;
      }
    };
    const calling = Array.from({ length: 6 }, async (_, at) => {
      const caller = await race.server();
      for (let n = 0; !isOver; n++) {
        const visitor = visitors[n % visitors.length];
        const subject = [visitor, `k${visitor}`, `z${visitor}`, 'account', 'z-left', 'a-right'][
          (n + at) % 6
        ];
        const feature = n % 3 ? 'call' : 'file';
        const actor = feature === 'file' ? null : [visitor, 'account', 'ada'][(n + at) % 3];
        const isHeld = n % 4 === 0;
        const verb = isHeld ? 'reserve_usage' : 'consume_usage';
        const told = await tried(() =>
          caller.query(
            `select (d).allowed, (d).event_id, (d).reservation_id from public.${verb}($1, 1, $2, actor => $3) as d`,
            [feature, subject, actor],
          ),
        );
        if (!told?.rows[0].allowed) continue;
        taken[feature] += 1;
        ids.push(told.rows[0].reservation_id ?? told.rows[0].event_id);
        if (isHeld)
          while (
            !isOver &&
            !(await tried(() =>
              caller.query('select public.commit_usage($1)', [told.rows[0].reservation_id]),
            ))
          );
      }
    });
    const merger = await race.server();
    for (const visitor of visitors)
      for (let tries = 0; ; tries++) {
        const done = await tried(() =>
          merger.query('select public.merge_subjects($1, $2)', [visitor, 'account']),
        );
        if (done) break;
        expect(tries).toBeLessThan(20);
      }
    isOver = true;
    await Promise.all(calling);
    expect(Object.keys(codes).filter((code) => code !== '55P03')).toEqual([]);
    expect(ids.length).toBeGreaterThan(30);

    // All that was called for is in the ledger once; of files each level has what stands below it.
    const { rows } = await race.owner.query(
      `select e.feature_id, sum(e.used_change + e.reserved_change)::int as sum
       from quota.events as e
       where e.kind <> 'level' and strpos(e.subject_id, chr(31)) = 0 and e.feature_id is not null
         and not exists (
           select from quota.shares as s
           where s.share_subject_id = e.subject_id and s.share_id in (e.event_id, e.about_id)
         )
       group by e.feature_id order by e.feature_id`,
    );
    expect(rows).toEqual([
      { feature_id: 'call', sum: taken.call },
      { feature_id: 'file', sum: taken.file },
    ]);
    const { rows: files } = await race.owner.query(
      `select sum(used + reserved)::int as sum from public.current_usage
       where feature = 'file' and subject in ('z-left', 'a-right')`,
    );
    expect(files).toEqual([{ sum: taken.file }]);
  }));
