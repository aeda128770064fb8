/** What must hold whenever nobody calls: asked at every stop, and after every crash. */
import type pg from 'pg';
import type { Told } from './load.ts';
import { KEPT, UNITS_A_DAY } from './world.ts';

/** What is wrong, in words; then forgets the ids and keys that were looked up. */
export async function prove(owner: pg.Client, told: Told): Promise<string[]> {
  const findings = told.findings.splice(0);
  const { rows: unproved } = await owner.query('select * from public.verify_usage()');
  for (const row of unproved) findings.push(`verify_usage(): ${JSON.stringify(row)}`);

  const { rows: lost } = await owner.query(
    `select t.id
     from unnest($1::uuid[]) as t (id)
     where not exists (select from quota.events as e where e.event_id = t.id)
       -- An id begins with its instant. What is older may be folded, by a clock that was ahead of this one.
       and to_timestamp(('x' || left(replace(t.id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
         > quota.clock() - $2::interval + interval '1 day'`,
    [told.events.splice(0), KEPT],
  );
  for (const { id } of lost) findings.push(`the use ${id} was told and is not in the ledger`);

  const { rows: twice } = await owner.query(
    `select e.idempotency_key as key, count(*)::integer as lines
     from quota.events as e
     where e.idempotency_key = any ($1)
       and e.kind = 'consume'
     group by e.subject_id, e.feature_id, e.idempotency_key
     having count(*) > 1`,
    [told.keys.splice(0)],
  );
  for (const { key, lines } of twice) findings.push(`the key ${key} has ${lines} lines`);

  findings.push(...(await proveUnits(owner, told)));
  const { rows } = await owner.query(
    'select deadlocks::integer from pg_stat_database where datname = current_database()',
  );
  if (rows[0].deadlocks > 0) findings.push(`${rows[0].deadlocks} deadlocks`);
  return findings;
}

/** Of the strict subjects: every unit that was told, and no more than could have been; never past a day. */
async function proveUnits(owner: pg.Client, { units, full }: Told): Promise<string[]> {
  const { rows: days } = await owner.query<{ subject: string; day: string; used: number }>(`
    select e.subject_id as subject, date_trunc('day', e.counts_at, 'UTC') as day,
      sum(e.used_change)::integer as used
    from quota.events as e
    where e.feature_id = 'unit'
    group by 1, 2`);
  const findings = days
    .filter(({ used }) => used > UNITS_A_DAY)
    .map(({ subject, day, used }) => `${subject} used ${used} of ${UNITS_A_DAY} on ${day}`);
  for (const [subject, { told, unknown }] of Object.entries(units)) {
    const own = days.filter((day) => day.subject === subject);
    const used = own.reduce((sum, day) => sum + day.used, 0);
    if (used < told || used > told + unknown) {
      findings.push(
        `${subject} was told ${told} units and perhaps ${unknown}, the ledger has ${used}`,
      );
    }
    for (const { day, used } of own) {
      if (full.has(`${subject} ${new Date(day).toISOString()}`) && used !== UNITS_A_DAY) {
        findings.push(`${subject} was refused on ${day} with ${used} of ${UNITS_A_DAY} used`);
      }
    }
  }
  return findings;
}
