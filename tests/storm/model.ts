/**
 * The rules of the contract once more, as plainly as can be: what one subject may use of one feature.
 * No locks, no ledger, no rows that wait to be settled: a hold is over when its time is over. Times are
 * microseconds, periods the calendar's in UTC.
 */
export type Period = 'minute' | 'month';
/** Of one feature: plan → period → units, null for unlimited. */
export type Plans = Record<string, Partial<Record<Period, number | null>>>;

interface Hold {
  amount: number;
  madeAt: number;
  expiresAt: number;
  state: 'open' | 'expired' | 'committed' | 'released';
  /** Since when it is not open. */
  endedAt?: number;
}

interface Exception {
  limit: number | null;
  endsAt: number;
}

interface Grant {
  amount: number;
  drawn: number;
  expiresAt: number;
  isVoid: boolean;
}

type Sums = Record<string, number>;

export interface Meter {
  plan: string;
  /** In place of the plan's limits, or beside them. */
  exceptions: Partial<Record<Period, Exception>>;
  used: Sums;
  drawn: Sums;
  holds: Record<string, Hold>;
  grants: Record<string, Grant>;
  /** What an event or a hold has drawn, by grant. */
  draws: Record<string, Sums>;
}

export interface Limit {
  period: Period;
  amount: number | null;
  used: number;
  reserved: number;
  drawn: number;
  granted: number;
}

export const newMeter = (plan: string): Meter => ({
  plan,
  exceptions: {},
  used: {},
  drawn: {},
  holds: {},
  grants: {},
  draws: {},
});

const PERIODS: Period[] = ['minute', 'month'];

export const periodOf = (period: Period, at: number) =>
  new Date(at / 1000).toISOString().slice(0, period === 'month' ? 7 : 16);

function add(sums: Sums, at: number, amount: number) {
  for (const period of PERIODS) {
    const key = periodOf(period, at);
    sums[key] = (sums[key] ?? 0) + amount;
  }
}

const total = (sums: Sums = {}) => Object.values(sums).reduce((sum, n) => sum + n, 0);

/** Holds end by themselves. */
export function advance(meter: Meter, now: number) {
  for (const [id, hold] of Object.entries(meter.holds)) {
    if (hold.state !== 'open' || hold.expiresAt > now) continue;
    hold.state = 'expired';
    hold.endedAt = hold.expiresAt;
    giveBack(meter, id, hold.madeAt, hold.amount);
  }
}

const openGrants = (meter: Meter, now: number) =>
  Object.entries(meter.grants)
    .filter(([, grant]) => !grant.isVoid && grant.expiresAt > now)
    .sort(byExpiry);

const byExpiry = ([a, x]: [string, Grant], [b, y]: [string, Grant]) =>
  x.expiresAt - y.expiresAt || (a < b ? -1 : 1);

/** The limits of the periods that hold `at`, with the grants that are open now. */
export function limitsOf(meter: Meter, plans: Plans, at: number, now: number): Limit[] {
  const granted = openGrants(meter, now).reduce((sum, [, g]) => sum + g.amount - g.drawn, 0);
  const amounts: Partial<Record<Period, number | null>> = { ...plans[meter.plan] };
  for (const [period, { limit, endsAt }] of Object.entries(meter.exceptions))
    if (endsAt > at) amounts[period as Period] = limit;
  return Object.entries(amounts).map(([name, amount]) => {
    const period = name as Period;
    const key = periodOf(period, at);
    const reserved = Object.values(meter.holds)
      .filter((hold) => hold.state === 'open' && periodOf(period, hold.madeAt) === key)
      .reduce((sum, hold) => sum + hold.amount, 0);
    const isShort = period === 'minute';
    return {
      period,
      amount,
      used: meter.used[key] ?? 0,
      reserved,
      drawn: isShort ? 0 : (meter.drawn[key] ?? 0),
      granted: isShort ? 0 : granted,
    };
  });
}

export const roomOf = ({ amount, drawn, granted, used, reserved }: Limit) =>
  amount === null ? Number.POSITIVE_INFINITY : amount + drawn + granted - used - reserved;

/** How far an amount goes past the plan's own allowance, where grants can help. */
const shortfall = (limits: Limit[], amount: number) =>
  Math.max(
    0,
    ...limits
      .filter(({ period }) => period !== 'minute')
      .map((limit) => amount - (roomOf(limit) - limit.granted)),
  );

export const refusing = (limits: Limit[], amount: number) =>
  limits.filter((limit) => roomOf(limit) < amount);

/** When something of it ends by itself. */
export const endsOf = ({ holds, grants, exceptions }: Meter) => [
  ...[...Object.values(holds), ...Object.values(grants)].map(({ expiresAt }) => expiresAt),
  ...Object.values(exceptions).flatMap(({ endsAt }) => (Number.isFinite(endsAt) ? endsAt : [])),
];

/** The first instant after now at which time alone has made room for the amount. */
export function roomAt(meter: Meter, plans: Plans, now: number, amount: number) {
  const then = structuredClone(meter);
  const minute = Math.ceil((now + 1) / 60e6) * 60e6;
  const month = new Date(now / 1000);
  const nextMonth = Date.UTC(month.getUTCFullYear(), month.getUTCMonth() + 1) * 1000;
  const instants = [minute, nextMonth, ...endsOf(meter)];
  for (const at of instants.filter((instant) => instant > now).sort((a, b) => a - b)) {
    advance(then, at);
    if (refusing(limitsOf(then, plans, at, at), amount).length === 0) return at;
  }
  return null;
}

/** Uses, or holds until `expiresAt`. The caller has seen that there is room. */
export function take(
  meter: Meter,
  plans: Plans,
  now: number,
  call: { id: string; amount: number; expiresAt?: number },
) {
  const limits = limitsOf(meter, plans, now, now);
  const granted = Math.max(0, ...limits.map((limit) => limit.granted));
  const drawn = Math.min(shortfall(limits, call.amount), call.amount, granted);
  if (call.expiresAt === undefined) add(meter.used, now, call.amount);
  else {
    const { amount, expiresAt } = call;
    meter.holds[call.id] = { amount, madeAt: now, expiresAt, state: 'open' };
  }
  draw(meter, call.id, now, drawn, now);
}

/** How much of an amount fits under every limit. */
export const fitting = (limits: Limit[], amount: number) => Math.min(amount, ...limits.map(roomOf));

/** Returns whether the use went past a limit. */
export function commit(meter: Meter, plans: Plans, now: number, id: string, amount: number) {
  const hold = meter.holds[id] as Hold;
  const held = hold.state === 'open' ? hold.amount : 0;
  hold.state = 'committed';
  hold.endedAt ??= now;
  add(meter.used, hold.madeAt, amount);
  giveBack(meter, id, hold.madeAt, held - amount);
  const excess = amount - held;
  if (excess <= 0) return false;
  draw(
    meter,
    id,
    hold.madeAt,
    Math.min(excess, shortfall(limitsOf(meter, plans, hold.madeAt, now), 0)),
    now,
  );
  return refusing(limitsOf(meter, plans, hold.madeAt, now), 0).length > 0;
}

export function release(meter: Meter, now: number, id: string) {
  const hold = meter.holds[id] as Hold;
  if (hold.state === 'open') giveBack(meter, id, hold.madeAt, hold.amount);
  hold.state = 'released';
  hold.endedAt ??= now;
}

/** An open hold lasts until then; what it counts, and where, stays. */
export function extend(meter: Meter, id: string, expiresAt: number) {
  (meter.holds[id] as Hold).expiresAt = expiresAt;
}

/**
 * `id` is what the use has drawn as: the event, or the hold that was committed. Where the use was forgiven
 * since, it is not given back a second time; the grants have it again all the same.
 */
export function refund(
  meter: Meter,
  id: string,
  countsAt: number,
  amount: number,
  forgivenIn: Set<Period>,
) {
  const drawn = drawnBy(meter, id);
  add(meter.used, countsAt, -amount);
  giveBack(meter, id, countsAt, amount);
  for (const period of forgivenIn) {
    const key = periodOf(period, countsAt);
    meter.used[key] = (meter.used[key] ?? 0) + amount;
    meter.drawn[key] = (meter.drawn[key] ?? 0) + drawn - drawnBy(meter, id);
  }
}

/** The period starts afresh. What open holds have drawn comes back when they end, so it stays drawn. */
export function reset(meter: Meter, now: number, period: Period) {
  const key = periodOf(period, now);
  const forgiven = meter.used[key] ?? 0;
  meter.used[key] = 0;
  meter.drawn[key] = Object.entries(meter.holds)
    .filter(([, { state, madeAt }]) => state === 'open' && periodOf(period, madeAt) === key)
    .reduce((sum, [id]) => sum + drawnBy(meter, id), 0);
  return forgiven;
}

function draw(meter: Meter, id: string, countsAt: number, amount: number, now: number) {
  let left = amount;
  for (const [grantId, grant] of openGrants(meter, now)) {
    const part = Math.min(left, grant.amount - grant.drawn);
    if (part > 0) move(meter, id, countsAt, grantId, part);
    left -= part;
  }
}

/** The last unit drawn is the first to come back. */
function giveBack(meter: Meter, id: string, countsAt: number, amount: number) {
  let left = amount;
  for (const [grantId] of Object.entries(meter.grants).sort(byExpiry).toReversed()) {
    const part = Math.min(left, meter.draws[id]?.[grantId] ?? 0);
    if (part > 0) move(meter, id, countsAt, grantId, -part);
    left -= Math.max(part, 0);
  }
}

function move(meter: Meter, id: string, countsAt: number, grantId: string, amount: number) {
  meter.draws[id] ??= {};
  const draws = meter.draws[id] as Sums;
  draws[grantId] = (draws[grantId] ?? 0) + amount;
  (meter.grants[grantId] as Grant).drawn += amount;
  add(meter.drawn, countsAt, amount);
}

export const drawnBy = (meter: Meter, id: string) => total(meter.draws[id]);

/** What an answer shows: the limit with least room, the longest period among equals. */
export function shown(limits: Limit[]) {
  const [limit] = limits.toSorted(
    (a, b) => roomOf(a) - roomOf(b) || PERIODS.indexOf(b.period) - PERIODS.indexOf(a.period),
  );
  return limit && fieldsOf(limit);
}

export function fieldsOf(limit: Limit) {
  const { period, amount, used, reserved, drawn, granted } = limit;
  return {
    period,
    used,
    reserved,
    granted,
    limit: amount === null ? null : amount + drawn + granted,
    remaining: amount === null ? null : Math.max(roomOf(limit), 0),
  };
}
