/** Questions to quota.period_of, and the answers of the independent calendar. */
import type pg from 'pg';
import { Temporal } from 'temporal-polyfill';
import { PERIODS, type Period, periodOf } from './calendar.ts';
import type { Random } from './random.ts';

/** Every kind of clock change, in years for which all copies of the zone files agree. */
export const ZONES = [
  'UTC',
  'Europe/Berlin', // at 2 and 3
  'Europe/London',
  'America/New_York',
  'America/Los_Angeles',
  'America/Sao_Paulo', // at midnight: until 2019 some days began at 1
  'America/Havana', // at midnight and back at 1: some days begin twice
  'America/St_Johns', // until 2011 at 00:01
  'America/Caracas', // moved its offset by half an hour
  'Asia/Beirut', // at midnight
  'Asia/Kathmandu', // 5:45
  'Asia/Kolkata',
  'Asia/Tokyo',
  'Asia/Pyongyang', // half an hour back and forth
  'Asia/Gaza',
  'Africa/Cairo',
  'Africa/Casablanca', // the clock goes back for Ramadan
  'Australia/Lord_Howe', // half an hour
  'Australia/Adelaide',
  'Pacific/Auckland',
  'Pacific/Chatham', // 12:45
  'Pacific/Apia', // skipped a whole day, 30 December 2011
  'Pacific/Kiritimati', // +14; skipped 1 January 1995
  'Antarctica/Troll', // two hours
];

export const SESSION_ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/Los_Angeles',
  'America/Sao_Paulo',
  'America/Havana',
  'America/St_Johns',
  'Asia/Kathmandu',
  'Asia/Tokyo',
  'Asia/Tehran',
  'Africa/Casablanca',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Pacific/Kiritimati',
  'Pacific/Pago_Pago',
  'Etc/GMT+12',
];

const FIRST_YEAR = 1994;
const LAST_YEAR = 2022;

export interface Sample {
  period: Period;
  at: Temporal.Instant;
  anchor: Temporal.Instant | null;
  zone: string;
}

/** As text in UTC with microseconds, by epoch: independent of how the session shows an instant. */
export async function periodsOf(
  client: pg.ClientBase,
  samples: Sample[],
): Promise<{ start: string; end: string }[]> {
  const { rows } = await client.query<{ start: string; end: string }>(
    `select
       (extract(epoch from p.period_start) * 1000000)::bigint::text as start,
       (extract(epoch from p.resets_at) * 1000000)::bigint::text as end
     from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[])
       with ordinality as s (period, at, anchor, zone, n)
     cross join lateral quota.period_of(s.period, s.at, s.anchor, s.zone) as p
     order by s.n`,
    [
      samples.map(({ period }) => period),
      samples.map(({ at }) => at.toString()),
      samples.map(({ anchor }) => anchor?.toString() ?? null),
      samples.map(({ zone }) => zone),
    ],
  );
  return rows;
}

const expected = ({ period, at, anchor, zone }: Sample) => {
  const { start, end } = periodOf(period, at, anchor, zone);
  return { start: micros(start), end: micros(end) };
};

export const micros = (at: Temporal.Instant) => String(at.epochNanoseconds / 1000n);

/** What differs, with what is needed to look at it. */
export async function differences(client: pg.ClientBase, samples: Sample[]) {
  const answers = await periodsOf(client, samples);
  return samples.flatMap((sample, at) => {
    const want = expected(sample);
    const got = answers[at];
    if (got?.start === want.start && got.end === want.end) return [];
    const { period, zone } = sample;
    return [{ period, zone, at: `${sample.at}`, anchor: `${sample.anchor}`, want, got }];
  });
}

export function instant(random: Random): Temporal.Instant {
  const from = Date.UTC(FIRST_YEAR, 0, 1);
  const until = Date.UTC(LAST_YEAR, 11, 31);
  const ms = random.between(from, until);
  return Temporal.Instant.fromEpochNanoseconds(
    BigInt(ms) * 1_000_000n + BigInt(random.between(0, 999)) * 1000n,
  );
}

/** Half of them on the 28th to 31st, where months differ; some at midnight, some in a DST night. */
export function anchor(random: Random, zone: string): Temporal.Instant | null {
  const kind = random.between(0, 9);
  if (kind < 2) return null;
  if (kind < 5) return instant(random);
  const local = Temporal.PlainDateTime.from(
    {
      year: random.between(FIRST_YEAR, LAST_YEAR),
      month: random.between(1, 12),
      day: random.between(28, 31),
      hour: random.pick([0, 0, 1, 2, 3, 12, 23]),
      minute: random.pick([0, 0, 1, 30, 59]),
    },
    { overflow: 'constrain' },
  );
  return local.toZonedDateTime(zone).toInstant();
}

/** An instant anywhere, or one where it matters: a boundary, a microsecond to either side of it. */
export function sample(random: Random): Sample {
  const zone = random.pick(ZONES);
  const period = random.pick(PERIODS);
  const from = anchor(random, zone);
  const at = instant(random);
  if (random.between(0, 2) === 0) return { period, zone, anchor: from, at };
  const { start, end } = periodOf(period, at, from, zone);
  const edge = random.pick([start, end]).add({ microseconds: random.pick([-1, 0, 1]) });
  return { period, zone, anchor: from, at: edge };
}

/** The instants at which the zone's offset changes. */
export function clockChanges(zone: string): Temporal.Instant[] {
  const found: Temporal.Instant[] = [];
  const until = Temporal.Instant.from(`${LAST_YEAR}-12-31T00:00:00Z`).toZonedDateTimeISO(zone);
  let at = Temporal.Instant.from(`${FIRST_YEAR}-01-01T00:00:00Z`).toZonedDateTimeISO(zone);
  for (;;) {
    const next = at.getTimeZoneTransition('next');
    if (!next || Temporal.ZonedDateTime.compare(next, until) > 0) return found;
    found.push(next.toInstant());
    at = next;
  }
}
