// quota.period_of against an independent calendar, over zones of every kind, and never dependent on
// the session's time zone. The seed is in the test's name: PGQUOTA_SEED=… repeats a run.
import type pg from 'pg';
import { Temporal } from 'temporal-polyfill';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { boundaryOf, CALENDAR_PERIODS } from './calendar.ts';
import { randomFrom, seedOfThisRun } from './random.ts';
import {
  anchor,
  clockChanges,
  differences,
  instant,
  micros,
  periodsOf,
  type Sample,
  SESSION_ZONES,
  sample,
  ZONES,
} from './samples.ts';

const SAMPLES = 2400;

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
});
afterAll(() => database.drop());

const seed = seedOfThisRun();

test(`${SAMPLES} periods of any zone and anchor are those of an independent calendar (PGQUOTA_SEED=${seed})`, async () => {
  const random = randomFrom(seed);
  const samples = Array.from({ length: SAMPLES }, () => sample(random));
  for (const [at, zone] of SESSION_ZONES.entries()) {
    await client.query(`set time zone '${zone}'`);
    const share = samples.filter((_, n) => n % SESSION_ZONES.length === at);
    expect(await differences(client, share), `in a session of ${zone}`).toEqual([]);
  }
});

test('in each of 15 session time zones the answers are the same', async () => {
  const random = randomFrom(seed + 1);
  const samples = Array.from({ length: 200 }, () => sample(random));
  const answers = new Set<string>();
  for (const zone of SESSION_ZONES) {
    await client.query(`set time zone '${zone}'`);
    answers.add(JSON.stringify(await periodsOf(client, samples)));
  }
  expect(SESSION_ZONES).toHaveLength(15);
  expect(answers.size).toBe(1);
});

describe('around the clock changes of each zone', () => {
  test.for(ZONES)('%s: days, and periods anchored in the night of the change', async (zone) => {
    const samples: Sample[] = [];
    const random = randomFrom(seed + 3);
    const changes = clockChanges(zone);
    // Some of many: the polyfill is slow. Zones with few changes have the strange ones.
    while (changes.length > 14) changes.splice(random.between(0, changes.length - 1), 1);
    for (const change of changes) {
      // Also an anchor inside the hour that is skipped or happens twice, a month and more before.
      const night = change.toZonedDateTimeISO(zone).toPlainDateTime();
      for (const hours of [-25, -2, -1, 0, 1, 2, 25]) {
        for (const microseconds of [-1, 0]) {
          const at = change.add({ hours }).add({ microseconds });
          samples.push({ period: 'day', zone, anchor: null, at });
          for (const minutes of [-90, -30, 0, 30]) {
            const wall = night.add({ minutes }).subtract({ days: 35 });
            const from = wall.toZonedDateTime(zone).toInstant();
            samples.push({ period: 'day', zone, anchor: from, at });
            samples.push({ period: 'week', zone, anchor: from, at });
          }
        }
      }
    }
    expect(await differences(client, samples)).toEqual([]);
  });
});

test('from any anchor, periods follow each other without gap or overlap, before the anchor too', async () => {
  const random = randomFrom(seed + 2);
  const samples: Sample[] = [];
  for (let n = 0; n < 60; n++) {
    const zone = random.pick(ZONES);
    const period = random.pick(CALENDAR_PERIODS);
    const from = anchor(random, zone) ?? instant(random);
    const origin = from.toZonedDateTimeISO(zone).toPlainDateTime();
    for (let unit = -6; unit <= 6; unit++) {
      samples.push({ period, zone, anchor: from, at: boundaryOf(origin, period, unit, zone) });
    }
  }
  expect(await differences(client, samples)).toEqual([]);
});

test('an anchor on the 31st gives the last day of shorter months and the 31st again', async () => {
  const zone = 'Asia/Tokyo';
  const local = (text: string) =>
    Temporal.PlainDateTime.from(text).toZonedDateTime(zone).toInstant();
  const from = local('2023-01-31T09:30');
  const days = ['2023-02-28', '2023-03-31', '2023-04-30', '2023-12-31', '2024-02-29', '2024-03-31'];
  const samples = days.map((day) => ({
    period: 'month' as const,
    zone,
    anchor: from,
    at: local(`${day}T09:30`),
  }));
  const starts = (await periodsOf(client, samples)).map(({ start }) => start);
  expect(starts).toEqual(samples.map(({ at }) => micros(at)));
});

test('an anchor on 29 February gives 28 February in other years and the 29th in leap years', async () => {
  const from = Temporal.Instant.from('2020-02-29T00:00:00Z');
  const days = ['2016-02-29', '2019-02-28', '2021-02-28', '2023-02-28', '2024-02-29', '2100-02-28'];
  const samples = days.map((day) => ({
    period: 'year' as const,
    zone: 'UTC',
    anchor: from,
    at: Temporal.Instant.from(`${day}T00:00:00Z`),
  }));
  const starts = (await periodsOf(client, samples)).map(({ start }) => start);
  expect(starts).toEqual(samples.map(({ at }) => micros(at)));
});

test('a window begins where it is used, and ends at the same time on the wall, or so many hours later', async () => {
  const random = randomFrom(seed + 4);
  const samples = Array.from({ length: 600 }, () => {
    const zone = random.pick(ZONES);
    const unit = random.pick(['minute', 'hour', 'day', 'week', 'month'] as const);
    const n = random.pick([1, 2, 5, 30, 90]);
    // Often in the days before a clock change, so that the end lies in its night.
    const changes = clockChanges(zone);
    const at =
      changes.length > 0 && random.between(0, 1) === 0
        ? random
            .pick(changes)
            .subtract({ hours: 24 * n })
            .add({ minutes: random.between(-180, 180) })
            .add({ microseconds: random.between(0, 999) })
        : instant(random);
    return { zone, unit, n, at };
  });
  const { rows } = await client.query<{ start: string; end: string }>(
    `select
       (extract(epoch from p.period_start) * 1000000)::bigint::text as start,
       (extract(epoch from p.resets_at) * 1000000)::bigint::text as end
     from unnest($1::text[], $2::timestamptz[], $3::text[]) with ordinality as s (period, at, zone, n)
     cross join lateral quota.period_of(s.period, s.at, '2026-01-31', s.zone) as p
     order by s.n`,
    [
      samples.map(({ n, unit }) => `${n} ${unit}${n === 1 ? '' : 's'}`),
      samples.map(({ at }) => at.toString()),
      samples.map(({ zone }) => zone),
    ],
  );
  const wanted = samples.map(({ zone, unit, n, at }) => {
    const end =
      unit === 'minute' || unit === 'hour'
        ? at.add({ [`${unit}s`]: n })
        : boundaryOf(at.toZonedDateTimeISO(zone).toPlainDateTime(), unit, n, zone);
    return { start: micros(at), end: micros(end) };
  });
  expect(rows).toEqual(wanted);
});

test('lifetime begins at -infinity and never ends', async () => {
  const { rows } = await client.query(
    `select period_start::text as start, resets_at::text as end
     from quota.period_of('lifetime', now(), '2026-01-31', 'Asia/Tokyo')`,
  );
  expect(rows).toEqual([{ start: '-infinity', end: 'infinity' }]);
});
