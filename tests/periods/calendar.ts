/**
 * The rules of periods once more, written from their description and on another calendar (Temporal),
 * to hold quota.period_of against. Instants have microseconds, as in Postgres.
 */
import { Temporal } from 'temporal-polyfill';

export const CALENDAR_PERIODS = ['day', 'week', 'month', 'year'] as const;
export const PERIODS = ['minute', 'hour', ...CALENDAR_PERIODS] as const;
export type Period = (typeof PERIODS)[number];

export interface Span {
  start: Temporal.Instant;
  end: Temporal.Instant;
}

export function periodOf(
  period: Period,
  at: Temporal.Instant,
  anchor: Temporal.Instant | null,
  timeZone: string,
): Span {
  if (period === 'minute' || period === 'hour') {
    const start = at.round({ smallestUnit: period, roundingMode: 'floor' });
    return { start, end: start.add(period === 'minute' ? { minutes: 1 } : { hours: 1 }) };
  }
  const origin = anchor
    ? anchor.toZonedDateTimeISO(timeZone).toPlainDateTime()
    : calendarOrigin(period, at.toZonedDateTimeISO(timeZone).toPlainDate());
  const boundary = (n: number) => boundaryOf(origin, period, n, timeZone);

  // Walks from a guess to the n with boundary(n) <= at < boundary(n + 1).
  const apart = origin.until(at.toZonedDateTimeISO(timeZone).toPlainDateTime(), {
    largestUnit: period,
  });
  let n = apart[`${period}s`] - 2;
  while (isAfter(boundary(n), at)) n -= 3;
  while (!isAfter(boundary(n + 1), at)) n++;
  return { start: boundary(n), end: boundary(n + 1) };
}

/** n units after the origin on the wall clock: month ends clamped, counted from the origin itself. */
export function boundaryOf(
  origin: Temporal.PlainDateTime,
  period: Exclude<Period, 'minute' | 'hour'>,
  n: number,
  timeZone: string,
): Temporal.Instant {
  return (
    origin
      .add({ [`${period}s`]: n }, { overflow: 'constrain' })
      // compatible: the first of two, and in a gap the offset from before it
      .toZonedDateTime(timeZone, { disambiguation: 'compatible' })
      .toInstant()
  );
}

/** Without an anchor: midnight, Monday, the 1st, 1 January. */
function calendarOrigin(period: Period, date: Temporal.PlainDate): Temporal.PlainDateTime {
  const first = {
    day: date,
    week: date.subtract({ days: date.dayOfWeek - 1 }),
    month: date.with({ day: 1 }),
    year: date.with({ month: 1, day: 1 }),
  }[period as 'day' | 'week' | 'month' | 'year'];
  return first.toPlainDateTime();
}

const isAfter = (one: Temporal.Instant, other: Temporal.Instant) =>
  Temporal.Instant.compare(one, other) > 0;
