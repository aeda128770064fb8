// A storm over levels and caps: an organisation, its team, a key of the team, five members with caps, a pool of
// credits and a gauge; and a team that is moved between two organisations all the while. A model that knows no locks
// and no ledger says at the end what each meter must show, and how much more each may take.
import type pg from 'pg';
import { expect, test } from 'vitest';
import type { Call } from '../concurrency/holds.ts';
import { type Race, run } from '../concurrency/race.ts';
import { type Random, randomFrom, seedOfThisRun } from '../periods/random.ts';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';

type Feature = 'call' | 'image' | 'file';
const LIMITS: Record<string, Record<string, number>> = {
  org: { call: 260, credit: 1500, file: 40 },
  team: { call: 140, file: 25 },
  other: { call: 500, credit: 4000, file: 90 },
};
const CAPS: Record<string, number> = { call: 60, credit: 450 };
const limitsOf = (plan: string) =>
  Object.fromEntries(
    Object.entries(LIMITS[plan] ?? {}).map(([feature, amount]) => [
      feature,
      { [feature === 'file' ? 'lifetime' : 'year']: amount },
    ]),
  );
const PLANS = {
  features: { call: {}, image: { costs: { credit: '7/2' } }, credit: {}, file: { kind: 'gauge' } },
  plans: {
    org: {
      limits: limitsOf('org'),
      per_member: { call: { year: CAPS.call }, credit: { year: CAPS.credit } },
    },
    team: { limits: limitsOf('team') },
    other: { limits: limitsOf('other') },
  },
};
/** From the top down. */
const LEVELS: Record<string, string[]> = {
  org: ['org'],
  team: ['org', 'team'],
  key: ['org', 'team', 'key'],
  mover: ['mover'],
};
const ACTORS = ['ann', 'ben', 'cat', 'dan', 'eve', null];

/** One thing that counts: a use, or a hold. */
interface Use {
  subject: string;
  actor: string | null;
  feature: Feature;
  amount: number;
  /** Of the event or the reservation. */
  id: string;
  isHeld: boolean;
}

const price = (amount: number) => Math.ceil((amount * 7) / 2);

/** What each meter shows: "subject/feature" and, of caps, "subject/feature/member". */
function modelOf(uses: Use[]): Record<string, { used: number; reserved: number }> {
  const meters: Record<string, { used: number; reserved: number }> = {};
  const add = (meter: string, amount: number, isHeld: boolean) => {
    meters[meter] ??= { used: 0, reserved: 0 };
    meters[meter][isHeld ? 'reserved' : 'used'] += amount;
  };
  for (const { subject, actor, feature, amount, isHeld } of uses) {
    if (feature === 'file') {
      add(`${subject}/file`, amount, isHeld);
      continue;
    }
    for (const level of LEVELS[subject] as string[]) {
      add(`${level}/${feature}`, amount, isHeld);
      if (feature === 'image') add(`${level}/credit`, price(amount), isHeld);
      if (actor === null || level !== 'org') continue;
      if (feature === 'image') add(`org/credit/${actor}`, price(amount), isHeld);
      else add(`org/call/${actor}`, amount, isHeld);
    }
  }
  return meters;
}

const of = (expression: string, ...values: unknown[]): Call => ({
  sql: `select to_jsonb(d) as decision from public.${expression} as d`,
  values,
});

interface Storm {
  race: Race;
  uses: Use[];
  random: Random;
  codes: Record<string, number>;
  until: number;
}

/** What came of a call; null where it is to be tried by somebody later. */
async function ask(storm: Storm, client: pg.Client, call: Call) {
  try {
    const { rows } = await client.query(call.sql, call.values);
    return rows.map((row) => row.decision);
  } catch (error) {
    const { code = String(error) } = error as pg.DatabaseError;
    storm.codes[code] = (storm.codes[code] ?? 0) + 1;
    return null;
  }
}

async function session(storm: Storm, client: pg.Client) {
  const { random, uses } = storm;
  const take = () => uses.splice(random.between(0, uses.length - 1), 1)[0];
  while (Date.now() < storm.until) {
    const feature = random.pick<Feature>(['call', 'call', 'image', 'file']);
    const subject = random.pick(Object.keys(LEVELS));
    const actor = feature === 'file' ? null : random.pick(ACTORS);
    const amount = random.between(1, 6);
    const verb = random.between(0, 9);
    if (verb < 3) {
      const call = of('consume_usage($1, $2, $3, actor => $4)', feature, amount, subject, actor);
      const [told] = (await ask(storm, client, call)) ?? [];
      if (told?.allowed)
        uses.push({ subject, actor, feature, amount, id: told.event_id, isHeld: false });
    } else if (verb < 5) {
      const call = of('reserve_usage($1, $2, $3, actor => $4)', feature, amount, subject, actor);
      const [told] = (await ask(storm, client, call)) ?? [];
      if (told?.allowed)
        uses.push({ subject, actor, feature, amount, id: told.reservation_id, isHeld: true });
    } else if (verb < 7) {
      const items = Array.from({ length: random.between(2, 4) }, () => ({
        feature: random.pick<Feature>(['call', 'image', 'file']),
        amount: random.between(1, 3),
        subject: random.pick(Object.keys(LEVELS)),
        actor: random.pick(ACTORS),
      }));
      const told =
        (await ask(storm, client, of('consume_usage_batch($1)', JSON.stringify(items)))) ?? [];
      told.forEach(({ allowed, event_id }, at) => {
        const item = items[at] as (typeof items)[0];
        if (allowed) uses.push({ ...item, id: event_id, isHeld: false });
      });
    } else if (uses.length > 0) {
      const use = take();
      if (use) await end(storm, client, use);
    }
  }
}

/** Ends a hold, or gives back a part of a use. */
async function end(storm: Storm, client: pg.Client, use: Use) {
  const { random, uses } = storm;
  const part = random.between(0, use.amount);
  if (!use.isHeld) {
    const back = Math.max(part, 1);
    const told = await ask(storm, client, of('refund_usage($1, $2)', use.id, back));
    const left = told?.[0].allowed ? use.amount - back : use.amount;
    if (left > 0) uses.push({ ...use, amount: left });
    return;
  }
  const isCommit = random.between(0, 2) > 0;
  const call = isCommit
    ? of('commit_usage($1, $2)', use.id, part)
    : of('release_usage($1)', use.id);
  const [told] = (await ask(storm, client, call)) ?? [];
  if (!told) uses.push(use);
  else if (isCommit && part > 0)
    uses.push({ ...use, amount: part, id: told.event_id, isHeld: false });
}

const shown = async ({ owner }: Race) => {
  const { rows } = await owner.query(
    `select concat_ws('/', split_part(subject_id, chr(31), 1), feature_id,
         nullif(split_part(subject_id, chr(31), 2), '')) as meter, used::int, reserved::int
     from quota.meters where used + reserved > 0`,
  );
  return Object.fromEntries(rows.map(({ meter, ...numbers }) => [meter, numbers]));
};

test('after a storm over three levels every meter and cap shows what the model says, and has the room that it says', () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    await setClock(race.owner, { offset: '0' });
    await race.owner.query(`
      select public.set_plan(s, p)
      from (values ('org', 'org'), ('team', 'team'), ('other', 'other'), ('mover', 'other')) as v (s, p);
      select public.set_parent('team', 'org'), public.set_parent('key', 'team')`);
    const seed = seedOfThisRun();
    const storm: Storm = {
      race,
      uses: [],
      random: randomFrom(seed),
      codes: {},
      until: Date.now() + 4_000,
    };
    const clients = await Promise.all(Array.from({ length: 8 }, race.server));
    await Promise.all(
      clients
        .slice(5)
        .map((client) => client.query(`set default_transaction_isolation = 'repeatable read'`)),
    );
    const mover = await race.server();
    const moving = async () => {
      for (let n = 0; Date.now() < storm.until; n++) {
        const parent = ['other', null, 'org'][n % 3];
        await ask(storm, mover, of('set_parent($1, $2)', 'mover', parent));
      }
      // Whoever is above it at the end, the team is nobody's any more.
      await race.owner.query(`select public.set_parent('mover', null)`);
    };
    await Promise.all([...clients.map((client) => session(storm, client)), moving()]);
    expect(Object.keys(storm.codes).filter((code) => !['40001', '55P03'].includes(code))).toEqual(
      [],
    );
    expect(storm.uses.length).toBeGreaterThan(20);

    // What the team that moved used counted above it, too, or did not: it is in no meter of the model there.
    const expected = modelOf(storm.uses);
    const found = await shown(race);
    for (const meter of ['org/file', 'team/file', 'key/file', 'mover/file'].concat(
      ['team', 'key', 'mover'].flatMap((s) => [`${s}/call`, `${s}/image`, `${s}/credit`]),
    ))
      expect([meter, found[meter]]).toEqual([meter, expected[meter]]);
    for (const feature of ['call', 'image', 'credit']) {
      const all = (meters: typeof found, subject: string) => {
        const { used = 0, reserved = 0 } = meters[`${subject}/${feature}`] ?? {};
        return used + reserved;
      };
      expect(all(found, 'org')).toBeGreaterThanOrEqual(all(expected, 'org'));
      expect(all(found, 'org') + all(found, 'other')).toBeLessThanOrEqual(
        all(expected, 'org') + all(expected, 'mover'),
      );
      const limit = LIMITS.org?.[feature];
      if (limit !== undefined) expect(all(found, 'org')).toBeLessThanOrEqual(limit);
    }
    for (const actor of ACTORS.filter((name) => name !== null))
      for (const feature of ['call', 'credit']) {
        const { used = 0, reserved = 0 } = found[`org/${feature}/${actor}`] ?? {};
        const own = expected[`org/${feature}/${actor}`] ?? { used: 0, reserved: 0 };
        expect(used + reserved).toBeGreaterThanOrEqual(own.used + own.reserved);
        expect(used + reserved).toBeLessThanOrEqual(CAPS[feature] as number);
      }

    // No limit was passed at any moment: lines are in the order in which their meter was held.
    const { rows: passed } = await race.owner.query(
      `select m.meter, max(m.sum) as most, m.most as allowed
       from (
         select e.subject_id || '/' || e.feature_id as meter, l.most,
           sum(e.used_change + e.reserved_change)
             over (partition by e.subject_id, e.feature_id order by e.at, e.event_id) as sum
         from quota.events as e
         join jsonb_to_recordset($1) as l (subject text, feature text, most int)
           on l.feature = e.feature_id
           and l.subject = case when strpos(e.subject_id, chr(31)) > 0 then 'member' else e.subject_id end
       ) as m
       group by m.meter, m.most
       having max(m.sum) > m.most`,
      [
        JSON.stringify([
          ...['org', 'team', 'other'].flatMap((subject) =>
            Object.entries(LIMITS[subject] ?? {})
              .filter(([feature]) => feature !== 'file')
              .map(([feature, most]) => ({ subject, feature, most })),
          ),
          ...Object.entries(CAPS).map(([feature, most]) => ({ subject: 'member', feature, most })),
        ]),
      ],
    );
    expect(passed).toEqual([]);

    // Exactly what is left, for each that may take: never a refusal while there is room.
    const [client] = clients as [pg.Client];
    const at = (meter: string, numbers: typeof found) =>
      (numbers[meter]?.used ?? 0) + (numbers[meter]?.reserved ?? 0);
    for (const subject of ['key', 'team', 'org'])
      for (const actor of ACTORS) {
        const now = await shown(race);
        const room = Math.min(
          ...(LEVELS[subject] as string[]).map((level) =>
            LIMITS[level]?.call === undefined
              ? Number.POSITIVE_INFINITY
              : LIMITS[level].call - at(`${level}/call`, now),
          ),
          actor === null
            ? Number.POSITIVE_INFINITY
            : (CAPS.call as number) - at(`org/call/${actor}`, now),
        );
        const { rows } = await client.query(
          `select (d).amount::int, (d).allowed
           from public.consume_usage('call', 100000, $1, actor => $2, partial => true) as d`,
          [subject, actor],
        );
        const { amount, allowed } = rows[0];
        expect([subject, actor, allowed ? amount : 0]).toEqual([subject, actor, room]);
      }
  }));
