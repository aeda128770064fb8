/** What the parts say, in English, and how they write numbers and instants. */
import type { Json } from 'pgquota';

export interface UsageWords {
  title: string;
  loading: string;
  asOf(time: string): string;
  refresh: string;
  tryAgain: string;
  outOfDate: string;
  unavailable: string;
  /** Behind a feature's name: "per month". A lifetime has none. */
  per(period: string): string;
  /** Behind the period, where it is a member's own cap within what an organisation has. */
  member(member: string): string;
  usedOf(used: string, limit: string): string;
  usedUnlimited(used: string): string;
  /** For ears: "30 of 50 generations used". */
  spoken(amount: string, units: string): string;
  spokenUnlimited(used: string): string;
  units(unit: string, amount: number): string;
  reserved(amount: string): string;
  extra(amount: string): string;
  resets(when: string): string;
  /** Behind the reset: what it will have come to. */
  willBe(amount: string): string;
  /** Behind the reset, where it will not last until then. */
  willBeUsedUp(when: string): string;
  inTotal: string;
  status: Record<'warning' | 'at_limit' | 'over_limit', string>;
  noRoom(features: string): string;
  nearlyUsedUp(features: string): string;
  couldNotBeRead: string;
  upgrade: string;
  /** For ears, where several rows have an "Upgrade". */
  upgradeFor(feature: string): string;
  refused(amount: number, units: string, remaining: string | null): string;
  why(said: {
    used: string;
    limit: string;
    reserved: string | null;
    remaining: string | null;
    period: string;
    resets: string | null;
  }): string;
  notInPlan(plan: string): string;
  noLargerPlan: string;
  reasonUnavailable: string;
  upgradeTo(plan: string): string;
  seePlans: string;
  oneMoment: string;
  notNow: string;
  plans: string;
  yourPlan: string;
  choose(plan: string): string;
  limit(limit: string | null, feature: string, period: string): string;
  /** A switch that is on (no value), or a value. */
  value(feature: string, value: string | null): string;
}

export const ENGLISH: UsageWords = {
  title: 'Usage',
  loading: 'Loading usage …',
  asOf: (time) => `As of ${time}`,
  refresh: 'Refresh',
  tryAgain: 'Try again',
  outOfDate: 'These numbers may be out of date.',
  unavailable: 'Usage cannot be shown at the moment.',
  per: (period) => (period === 'lifetime' ? '' : `per ${period}`),
  member: (member) => `for ${member}`,
  usedOf: (used, limit) => `${used} of ${limit}`,
  usedUnlimited: (used) => `${used} · ∞`,
  spoken: (amount, units) => `${amount} ${units} used`,
  spokenUnlimited: (used) => `${used} used, unlimited`,
  units: (unit, amount) => (amount === 1 ? unit : `${unit}s`),
  reserved: (amount) => `${amount} reserved`,
  extra: (amount) => `${amount} extra, does not reset`,
  resets: (when) => `resets ${when}`,
  willBe: (amount) => `at this pace about ${amount} by then`,
  willBeUsedUp: (when) => `at this pace used up on ${when}`,
  inTotal: 'in total',
  status: {
    warning: 'Nearly used up',
    at_limit: 'Limit reached',
    over_limit: 'Over the limit',
  },
  noRoom: (features) => `No room left: ${features}.`,
  nearlyUsedUp: (features) => `Nearly used up: ${features}.`,
  couldNotBeRead: 'Usage could not be read.',
  upgrade: 'Upgrade',
  upgradeFor: (feature) => `Upgrade for more: ${feature}`,
  refused: (amount, units, remaining) =>
    remaining === null
      ? `No room for ${amount === 1 ? 'one' : amount} more ${units}`
      : `Only ${remaining} left`,
  why: ({ used, limit, reserved, remaining, period, resets }) =>
    [
      `You have used ${used} of ${limit}`,
      reserved && ` and ${reserved} are reserved`,
      // A window: "5 hours", from its first use.
      period !== 'lifetime' && (period.includes(' ') ? ` in ${period}` : ` this ${period}`),
      '.',
      remaining && ` ${remaining} left.`,
      resets
        ? ` It starts again at 0 on ${resets}.`
        : period === 'lifetime'
          ? ' It does not reset: deleting makes room.'
          : ' It begins with the first use.',
    ]
      .filter(Boolean)
      .join(''),
  notInPlan: (plan) => `It is not part of the ${plan} plan.`,
  noLargerPlan: 'No other plan allows that much at once.',
  reasonUnavailable: 'The reason cannot be shown at the moment.',
  upgradeTo: (plan) => `Upgrade to ${plan}`,
  seePlans: 'See plans',
  oneMoment: 'One moment …',
  notNow: 'Not now',
  plans: 'Plans',
  yourPlan: 'Your plan',
  choose: (plan) => `Choose ${plan}`,
  limit: (limit, feature, period) =>
    `${limit ?? 'Unlimited'} ${feature}${period === 'lifetime' ? '' : ` per ${period}`}`,
  value: (feature, value) => (value === null ? feature : `${feature}: ${value}`),
};

export interface UsageFormat {
  words: UsageWords;
  number(amount: number): string;
  /** What a plan has of a value: numbers as numbers are written, with their unit; lists with commas. */
  value(value: Json, unit?: string): string;
  /** "1 Dec, 00:00 UTC", by the clock of that zone. */
  instant(at: string, timeZone?: string): string;
  /** "24 November", by the calendar of that zone. */
  date(at: string, timeZone?: string): string;
  /** "1 Dec 2026", by the calendar of that zone. */
  day(at: string, timeZone?: string): string;
  /** By the clock of whoever looks. */
  time(at: number): string;
  /** "Nov", by the calendar of that zone; "27 Nov" where a period does not begin with the month. */
  month(at: string, timeZone?: string): string;
}

export function createFormat(locale: string, words: UsageWords): UsageFormat {
  const say = (at: string | number, options: Intl.DateTimeFormatOptions, timeZone?: string) => {
    const date = new Date(at);
    try {
      return date.toLocaleString(locale, { ...options, timeZone });
    } catch {
      return date.toLocaleString(locale, options); // a zone that this browser does not know
    }
  };
  const numbers = new Intl.NumberFormat(locale);
  const value = (of: Json, unit?: string): string => {
    if (typeof of === 'number') {
      // What the document gives no unit is a number of units, which says nothing.
      const named = unit && unit !== 'unit' ? ` ${words.units(unit, of)}` : '';
      return numbers.format(of) + named;
    }
    if (Array.isArray(of)) return of.map((one) => value(one)).join(', ');
    return typeof of === 'string' ? of : JSON.stringify(of);
  };
  return {
    words,
    number: (amount) => numbers.format(amount),
    value,
    instant: (at, timeZone) =>
      say(
        at,
        {
          day: 'numeric',
          month: 'short',
          hour: '2-digit',
          minute: '2-digit',
          timeZoneName: 'short',
        },
        timeZone,
      ),
    date: (at, timeZone) => say(at, { day: 'numeric', month: 'long' }, timeZone),
    day: (at, timeZone) => say(at, { day: 'numeric', month: 'short', year: 'numeric' }, timeZone),
    time: (at) => say(at, { hour: '2-digit', minute: '2-digit', second: '2-digit' }),
    month: (at, timeZone) => {
      const isFirst = /^0?1$/.test(
        say(at, { day: 'numeric', numberingSystem: 'latn' }, timeZone).replace(/\D/g, ''),
      );
      return say(at, isFirst ? { month: 'short' } : { day: 'numeric', month: 'short' }, timeZone);
    },
  };
}
