/**
 * The auditor: replays the ledger on the model, in the order of its instants, and compares every answer
 * that was given with what the model would have said. Counts what it has met on the way.
 */
import type pg from 'pg';
import type { Decision } from '../concurrency/holds.ts';
import {
  advance,
  commit,
  drawnBy,
  endsOf,
  extend,
  fieldsOf,
  fitting,
  type Limit,
  limitsOf,
  type Meter,
  newMeter,
  type Period,
  type Plans,
  periodOf,
  refund,
  refusing,
  release,
  reset,
  roomAt,
  shown,
  take,
} from './model.ts';
import { type Entry, FEATURES, type Feature, type Log, PLANS, SUBJECTS } from './storm.ts';

interface Line {
  subject: string;
  feature: Feature | null;
  kind: string;
  at: number;
  counts_at: number;
  used_change: number;
  event_id: string;
  about_id: string | null;
  grant_id: string | null;
  drawn_change: number;
  metadata: {
    amount: number;
    to: { plan_id: string };
    period: Period;
    /** Of a reset alone, and not of what a refund keeps forgiven. */
    period_start?: string;
    ends_at?: string;
    limit?: number | null;
    cleared?: boolean;
    ended?: boolean;
  };
}

export interface Audit {
  findings: string[];
  met: Record<string, number>;
}

/** What one meter looked like from an instant on; others saw it at the latest when it was answered. */
interface Moment {
  at: number;
  answeredAt: number;
  meter: Meter;
}

const plansOf = (feature: Feature): Plans =>
  Object.fromEntries(
    Object.entries(PLANS.plans).map(([plan, { limits }]) => [plan, limits[feature]]),
  );

const MICROSECONDS = '(extract(epoch from %) * 1000000)::bigint::float8';
const micros = (column: string) => MICROSECONDS.replace('%', column);

export async function audit(owner: pg.Client, log: Log): Promise<Audit> {
  const { rows: lines } = await owner.query<Line>(`
    select subject_id as subject, feature_id as feature, kind, ${micros('at')} as at,
      ${micros('counts_at')} as counts_at, used_change::float8, event_id, about_id, grant_id,
      drawn_change::float8, metadata
    from quota.events
    order by at, event_id`);
  const { rows: expiries } = await owner.query<{ id: string; at: number }>(`
    select reservation_id as id, ${micros('expires_at')} as at from quota.reservations
    union all
    select grant_id, ${micros(`least(expires_at, '2100-01-01')`)} from quota.grants`);
  const expiryOf = new Map(expiries.map(({ id, at }) => [id, at]));

  const result: Audit = { findings: [], met: {} };
  const say = (finding: string) => result.findings.push(finding);
  const meet = (what: string) => {
    result.met[what] = (result.met[what] ?? 0) + 1;
  };

  everyAnswerHasItsLine(log, lines, say);
  for (const _ of log.undone) meet('an answer that was rolled back');
  Object.assign(result.met, log.retries);
  for (const { first, again } of log.repeats) {
    meet('a repeated key');
    const expected = first.map((decision) => ({ ...decision, replayed: true }));
    if (!equal(expected, again))
      say(`a repeated key was told ${show(again)}, at first ${show(first)}`);
  }
  for (const { first, until } of log.rebound) {
    meet('a repeated key that was free');
    if (!first.every((decision) => isOver(decision, until, lines, expiryOf)))
      say(`the key of what counts was free again: ${show(first)}`);
  }
  for (const subject of SUBJECTS) {
    for (const feature of FEATURES) {
      const entries = log.entries.filter((e) => e.subject === subject && e.feature === feature);
      const own = lines.filter(
        (line) => line.subject === subject && (line.feature ?? feature) === feature,
      );
      replay(plansOf(feature), entries, own, expiryOf, say, meet);
    }
  }
  return result;
}

/** Whether what a decision took was given back in full, or its hold was over by then. */
function isOver(
  { event_id, reservation_id }: Decision,
  until: number,
  lines: Line[],
  expiryOf: Map<string, number>,
): boolean {
  const about = (id: string) => lines.filter((line) => line.about_id === id);
  const isGivenBack = (use: Line) =>
    about(use.event_id).reduce((left, { used_change }) => left + used_change, use.used_change) ===
    0;
  if (!reservation_id) return lines.filter((line) => line.event_id === event_id).every(isGivenBack);
  const end = about(reservation_id).find(({ kind }) => kind === 'commit' || kind === 'release');
  return (
    end?.kind === 'release' ||
    (end && isGivenBack(end)) ||
    (expiryOf.get(reservation_id) as number) <= until
  );
}

const show = (value: unknown) => JSON.stringify(value);
const equal = (a: unknown, b: unknown) => show(a) === show(b);
const isAllowed = ({ told }: Entry) => typeof told !== 'string' && told.allowed && !told.replayed;
/** All but a hold that is extended has a line. */
const hasLine = (entry: Entry) => isAllowed(entry) && entry.verb !== 'extend';

const lineIdOf = ({ verb, told }: Entry) => {
  const { reservation_id, event_id } = told as Decision;
  return verb === 'reserve' ? reservation_id : event_id;
};
const idOf = (line: Line) => (line.kind === 'reserve' ? (line.about_id as string) : line.event_id);
const ACTS = ['consume', 'reserve', 'commit', 'release', 'refund', 'reset'];

/** A reset has a line for each period; the last and longest stands for all. */
function isAct(line: Line, _: number, lines: Line[]) {
  if (line.kind !== 'reset') return ACTS.includes(line.kind);
  if (!line.metadata.period_start) return false;
  return line.metadata.period === 'month' || partsOf(line, lines).length === 1;
}
const partsOf = ({ at, subject, feature }: Line, lines: Line[]) =>
  lines.filter(
    (line) =>
      line.at === at &&
      line.kind === 'reset' &&
      line.subject === subject &&
      line.feature === feature &&
      line.metadata.period_start,
  );

function everyAnswerHasItsLine(log: Log, lines: Line[], say: (finding: string) => void) {
  const acts = lines.filter(isAct).map(idOf);
  const told = log.entries.filter(hasLine).map(lineIdOf);
  const [inLedger, inLog] = [new Set(acts), new Set(told)];
  if (inLedger.size !== acts.length) say('two lines of the ledger are one act');
  if (inLog.size !== told.length) say('two answers tell of one act, and neither is a replay');
  for (const id of told)
    if (!inLedger.has(id)) say(`${id} was acknowledged and is not in the ledger`);
  for (const id of acts) if (!inLog.has(id)) say(`${id} is in the ledger, and nobody was told`);
  for (const { event_id, reservation_id } of log.undone) {
    if (inLedger.has(event_id ?? reservation_id))
      say(`${event_id} was rolled back and is in the ledger`);
  }
  const idsOf = (kind: string) =>
    lines
      .filter((line) => line.kind === kind)
      .map(({ grant_id }) => grant_id)
      .sort();
  if (!equal(idsOf('grant'), log.grants.toSorted())) say('grants differ from the ledger');
  const taken = lines
    .filter(({ kind, metadata }) => kind === 'void' && metadata.amount > 0)
    .map(({ grant_id, metadata }) => `${grant_id} ${metadata.amount}`);
  if (!equal(taken.toSorted(), log.voids.toSorted())) say('voided grants differ from the ledger');
  if (idsOf('plan').length !== log.plansSet) say('changes of plan differ from the ledger');
  if (idsOf('limit').length !== log.limitsSet) say('exceptions differ from the ledger');
}

function replay(
  plans: Plans,
  entries: Entry[],
  lines: Line[],
  expiryOf: Map<string, number>,
  say: (finding: string) => void,
  meet: (what: string) => void,
) {
  const meter = newMeter('free');
  const moments: Moment[] = [{ at: 0, answeredAt: 0, meter: structuredClone(meter) }];
  const byLine = new Map(
    entries.filter(hasLine).map((entry, at) => [lineIdOf(entry), { entry, at }]),
  );
  const uses = new Map<string, Use>();
  // Items of one batch have one instant: they were taken in the order of their answers.
  const rankOf = (line: Line) => byLine.get(idOf(line))?.at ?? -1;
  const written: Act[] = lines
    .filter(
      (line, at) =>
        ['grant', 'void', 'plan', 'limit'].includes(line.kind) || isAct(line, at, lines),
    )
    .map((line) => ({ line, entry: byLine.get(idOf(line))?.entry }));
  const acts = [...written, ...entries.filter(isAllowed).flatMap(unwritten)].sort(
    (a, b) => a.line.at - b.line.at || rankOf(a.line) - rankOf(b.line),
  );

  for (const { line, entry } of acts) {
    const { at, kind } = line;
    for (const { endsAt } of Object.values(meter.exceptions))
      if (endsAt <= at && endsAt > (moments.at(-1)?.at ?? 0))
        meet('an exception that ends by itself');
    advance(meter, at);
    const id = (entry?.about ?? idOf(line)) as string;
    let shownAt = at;
    let reason = 'ok';
    if (kind === 'plan') {
      const limits = limitsOf(meter, plans, at, at);
      meter.plan = line.metadata.to.plan_id ?? 'free';
      const over = refusing(limitsOf(meter, plans, at, at), 0).length > refusing(limits, 0).length;
      if (over) meet('a downgrade below what is used');
    } else if (kind === 'grant') {
      const expiresAt = expiryOf.get(line.grant_id as string) as number;
      const { amount } = line.metadata;
      meter.grants[line.grant_id as string] = { amount, drawn: 0, expiresAt, isVoid: false };
    } else if (kind === 'limit') {
      const { period, limit = null, cleared, ends_at } = line.metadata;
      const endsAt = ends_at ? Date.parse(ends_at) * 1000 : Number.POSITIVE_INFINITY;
      if (cleared) delete meter.exceptions[period];
      else meter.exceptions[period] = { limit, endsAt };
      meet(cleared ? 'an exception that is cleared' : 'an exception');
    } else if (kind === 'void') {
      const grant = meter.grants[line.grant_id as string];
      const { amount, ended } = line.metadata;
      if (grant && ended) grant.isVoid = true;
      else if (grant) grant.amount -= amount;
      meet(ended ? 'a void' : 'a part of a grant taken back');
    } else if (!entry) {
      continue; // has been said
    } else if (kind === 'consume' || kind === 'reserve') {
      const limits = limitsOf(meter, plans, at, at);
      const amount = kind === 'reserve' ? (entry.told as Decision).amount : line.used_change;
      if (refusing(limits, amount).length) {
        say(`${kind} of ${amount} at ${at} passes ${show(limits)}`);
      }
      if (entry.partial && amount !== fitting(limits, entry.asked)) {
        say(`${kind} of what fits of ${entry.asked} took ${amount} of ${show(limits)}`);
      }
      take(meter, plans, at, {
        id,
        amount,
        expiresAt: kind === 'reserve' ? at + (entry.ttl as number) : undefined,
      });
      if (kind === 'consume') uses.set(line.event_id, useOf(id, at, amount));
      meet(`${kind} allowed`);
      if (entry.partial && amount < entry.asked) meet(`${kind} of a part`);
      if (entry.verb === 'batch') meet('a batch taken');
      if (drawnBy(meter, id) > 0) meet(`${kind} that draws from a grant`);
    } else if (kind === 'commit') {
      const { state, amount, madeAt } = meter.holds[id] as Meter['holds'][string];
      if (periodOf('month', madeAt) !== periodOf('month', at)) meet('a commit in the next month');
      else if (periodOf('minute', madeAt) !== periodOf('minute', at))
        meet('a commit in the next minute');
      if (state === 'committed' || state === 'released') say(`${id} ended twice`);
      const drawnBefore = drawnBy(meter, id);
      if (commit(meter, plans, at, id, line.used_change)) reason = 'over_limit';
      if (drawnBy(meter, id) < drawnBefore) meet('a commit that gives back to a grant');
      uses.set(line.event_id, useOf(id, madeAt, line.used_change));
      shownAt = madeAt;
      const how = Math.sign(line.used_change - amount);
      meet(
        `a commit ${state === 'expired' ? 'that is late' : (['of less', 'as held', 'of more'][how + 1] as string)}`,
      );
      if (line.used_change === 0) meet('a commit of 0');
      if (reason === 'over_limit') meet(`over_limit ${state === 'expired' ? 'late' : 'by more'}`);
    } else if (kind === 'release') {
      const { state } = meter.holds[id] as Meter['holds'][string];
      if (state === 'committed' || state === 'released') say(`${id} ended twice`);
      release(meter, at, id);
      meet(state === 'expired' ? 'a release after the end' : 'a release');
    } else if (kind === 'extend') {
      const { state, expiresAt } = meter.holds[id] as Meter['holds'][string];
      if (state !== 'open') say(`${id} was extended at ${at}, and is ${state}`);
      if (at < entry.from - SLACK || at > entry.to + SLACK) say(`${id} lasts longer than told`);
      const until = entry.expiresAt as number;
      meet(until < expiresAt ? 'a hold cut short' : 'a hold extended');
      extend(meter, id, until);
    } else if (kind === 'reset') {
      const forgiven = partsOf(line, lines).map(({ metadata: { period }, used_change }) => {
        const was = reset(meter, at, period);
        if (was !== -used_change) say(`a reset at ${at} took ${-used_change} of ${was}`);
        for (const use of uses.values())
          if (periodOf(period, use.countsAt) === periodOf(period, at)) use.forgivenIn.add(period);
        return was;
      });
      const { amount } = entry.told as Decision;
      if (amount !== Math.max(...forgiven)) say(`a reset at ${at} was told ${amount}`);
      meet(`a reset of ${entry.period ?? 'all'}`);
      if (Object.values(meter.holds).some(({ state }) => state === 'open'))
        meet('a reset beside a hold');
    } else if (kind === 'refund') {
      const use = uses.get(id);
      if (!use) say(`a refund of ${id}, which is no use`);
      else {
        const drawnBefore = drawnBy(meter, use.id);
        refund(meter, use.id, use.countsAt, -line.used_change, use.forgivenIn);
        if (use.forgivenIn.size) meet('a refund of what was forgiven');
        use.left += line.used_change;
        if (use.left < 0) say(`more was refunded of ${id} than it counted`);
        meet(use.left === 0 ? 'a whole refund' : 'a refund of a part');
        if (drawnBy(meter, use.id) < drawnBefore) meet('a refund to a grant');
      }
    }
    if (entry) {
      const limits = limitsOf(meter, plans, shownAt, at);
      const told = pick(entry.told as Decision, ['reason', ...FIELDS]);
      const right = [limits, ...asOfSnapshot(limits, entry, line, moments, plans)].map((seen) => ({
        reason,
        ...shown(seen),
      }));
      if (!right.some((expected) => equal(told, expected))) {
        say(`${kind} at ${at} (${entry.level}) was told ${show(told)}, not ${show(right)}`);
      }
    }
    moments.push({ at, answeredAt: entry?.to ?? at + 1e6, meter: digest(meter) });
  }

  judgeTheRest(plans, entries, moments, meter, uses, say, meet);
  compareSums(meter, lines, say, meet);
  for (const [id, { expiresAt }] of Object.entries(meter.holds))
    if (expiryOf.get(id) !== expiresAt) say(`${id} ends at ${expiryOf.get(id)}, not ${expiresAt}`);
}

interface Act {
  line: Line;
  entry?: Entry;
}

interface Use {
  id: string;
  countsAt: number;
  left: number;
  /** Where a reset has been since. */
  forgivenIn: Set<Period>;
}

const useOf = (id: string, countsAt: number, left: number): Use => ({
  ...{ id, countsAt, left },
  forgivenIn: new Set(),
});

/** A hold that is extended leaves no line: its instant is the new end less the ttl. */
function unwritten(entry: Entry): Act[] {
  if (entry.verb !== 'extend' || entry.expiresAt === undefined) return [];
  const { subject, feature, expiresAt, ttl = 0 } = entry;
  const at = expiresAt - ttl;
  const line = {
    subject,
    feature,
    kind: 'extend',
    at,
    counts_at: at,
    event_id: '',
    about_id: null,
  };
  return [{ line: line as Line, entry }];
}

/**
 * What counts in a former month conflicts with nothing that counts in this one. So at the higher levels
 * either may show what it does not change as it was when its snapshot was taken: the other month, and
 * what was given back to grants.
 */
function asOfSnapshot(
  limits: Limit[],
  { level, from }: Entry,
  line: Line,
  moments: Moment[],
  plans: Plans,
): Limit[][] {
  if (level === 'read committed') return [];
  const seen = moments.filter((_, at) => (moments[at + 1]?.answeredAt ?? line.at) + SLACK >= from);
  const isOfFormerMonth = periodOf('month', line.counts_at) !== periodOf('month', line.at);
  return seen.map(({ meter }) => {
    const then = structuredClone(meter);
    advance(then, line.at);
    const former = limitsOf(then, plans, line.at, line.at);
    if (isOfFormerMonth && line.kind !== 'commit') return former;
    return limits.map((limit) => ({
      ...limit,
      granted: former.find(({ period }) => period === limit.period)?.granted ?? 0,
    }));
  });
}

const pick = (decision: Decision, fields: string[]) =>
  Object.fromEntries(fields.map((field) => [field, decision[field as keyof Decision]]));

/** All that the meter's limits depend on from now on. */
function digest(meter: Meter): Meter {
  const open = Object.entries(meter.holds).filter(([, { state }]) => state === 'open');
  const draws = open.map(([id]) => [id, meter.draws[id] ?? {}] as const);
  return structuredClone({
    ...meter,
    holds: Object.fromEntries(open),
    draws: Object.fromEntries(draws),
    grants: meter.grants,
  });
}

/** Answers that wrote nothing: refusals, repeated endings, and errors. */
function judgeTheRest(
  plans: Plans,
  entries: Entry[],
  moments: Moment[],
  meter: Meter,
  uses: Map<string, Use>,
  say: (finding: string) => void,
  meet: (what: string) => void,
) {
  for (const entry of entries) {
    const { told, verb, about = '', asked } = entry;
    const { state, endedAt = Number.POSITIVE_INFINITY } = meter.holds[about] ?? {};
    if (told === 'QRSRV' && verb === 'extend') {
      meet('QRSRV for a hold that is over');
      if (endedAt > entry.to + SLACK) say(`${about} could not be extended, and was open`);
    } else if (told === 'QPLAN' && verb === 'reset') {
      meet('QPLAN for a reset');
      if (entry.period !== 'minute') say(`a reset of ${entry.period} was told QPLAN`);
    } else if (told === 'QRSRV') {
      meet(`QRSRV for a ${verb}`);
      if (state !== (verb === 'commit' ? 'released' : 'committed')) {
        say(`${verb} was told QRSRV, and its hold is ${state}`);
      }
    } else if (told === 'QAMNT' && verb === 'refund') {
      meet('QAMNT for a refund');
      if (asked <= (uses.get(about)?.left ?? 0))
        say(`a refund of ${asked} was QAMNT, with that left`);
    } else if (typeof told === 'string') {
      say(`${verb} was told ${told}`);
    } else if (told.replayed) {
      meet(`a ${verb} repeated`);
      const first = entries.find((e) => isAllowed(e) && e.about === about && e.verb === verb);
      if (!equal({ ...(first?.told as Decision), replayed: true }, told)) {
        say(`${verb} repeated was told ${show(told)}, at first ${show(first)}`);
      }
    } else if (!told.allowed) {
      meet(`${verb} ${told.reason}`);
      if (told.reason === 'limit_reached' && told.period === 'minute')
        meet('a minute that is full');
      // Of what takes a part, only nothing is a refusal: there is no room for one.
      const judged = entry.partial ? { ...entry, asked: 1 } : entry;
      if (!wasTrueOnce(plans, judged, told, moments)) {
        say(
          `${verb} of ${asked} at ${entry.level} was refused with ${show(told)}, which was never so`,
        );
      }
    }
  }
}

/** Whether there was a moment, while it was asked, at which the answer was right. */
function wasTrueOnce(plans: Plans, entry: Entry, told: Decision, moments: Moment[]): boolean {
  const { asked, level } = entry;
  const [from, to] = [entry.from - SLACK, entry.to + SLACK];
  const isSnapshot = level !== 'read committed';
  for (const [i, { at: since, meter }] of moments.entries()) {
    const next = moments[i + 1];
    // A snapshot shows what was until others had committed, also when time has gone on.
    const seenUntil = (isSnapshot ? next?.answeredAt : next?.at) ?? to;
    if (since > to || seenUntil + SLACK < from) continue;
    const first = Math.max(since, from);
    const last = isSnapshot ? to : Math.min(seenUntil, to);
    const instants = [first, ...endsOf(meter), Math.ceil(first / 60e6) * 60e6];
    for (const at of instants.filter((time) => time >= first && time <= last)) {
      const then = structuredClone(meter);
      advance(then, at);
      const limits = limitsOf(then, plans, at, at);
      const refused = refusing(limits, asked).map(fieldsOf);
      const shows = told.reason !== 'not_taken' ? refused : refused.length ? [] : [shown(limits)];
      const isShown = shows.some((limit) => equal(limit, pick(told, FIELDS)));
      if (isShown && isWaitRight(plans, then, entry, told, at, last)) return true;
    }
  }
  return false;
}

/** Of a refusal at some instant from `at` to `last`. */
function isWaitRight(
  plans: Plans,
  meter: Meter,
  { asked }: Entry,
  { reason, retry_after: wait }: Decision,
  at: number,
  last: number,
): boolean {
  const free = reason === 'not_taken' ? null : roomAt(meter, plans, at, asked);
  if (wait === null || free === null) return wait === free;
  const seconds = (from: number) => Math.max(1, Math.ceil((free - from) / 1e6));
  return wait >= seconds(last) && wait <= seconds(at);
}

/** The client's clock has milliseconds. */
const SLACK = 3000;
const FIELDS = ['period', 'used', 'reserved', 'granted', 'limit', 'remaining'];

/** In the end the model and the ledger have the same sums, and each hold has ended once. */
function compareSums(
  meter: Meter,
  lines: Line[],
  say: (finding: string) => void,
  meet: (what: string) => void,
) {
  advance(meter, Number.POSITIVE_INFINITY);
  for (const period of ['minute', 'month'] as Period[]) {
    for (const key of new Set(lines.map((line) => periodOf(period, line.counts_at)))) {
      const inPeriod = lines.filter(
        (line) =>
          periodOf(period, line.counts_at) === key &&
          (line.kind !== 'reset' || line.metadata.period === period),
      );
      const used = inPeriod.reduce((sum, line) => sum + line.used_change, 0);
      const drawn = inPeriod.reduce((sum, line) => sum + line.drawn_change, 0);
      if (used !== (meter.used[key] ?? 0)) say(`used in ${key}: ${used}, not ${meter.used[key]}`);
      // A reset of a minute says nothing of grants, which do not lift it.
      if (period === 'month' && drawn !== (meter.drawn[key] ?? 0))
        say(`drawn in ${key}: ${drawn}, not ${meter.drawn[key]}`);
    }
  }
  for (const [id, grant] of Object.entries(meter.grants)) {
    const drawn = lines
      .filter((line) => line.grant_id === id)
      .reduce((sum, line) => sum + line.drawn_change, 0);
    if (drawn !== grant.drawn) say(`drawn of grant ${id}: ${drawn}, not ${grant.drawn}`);
    if (grant.drawn < grant.amount && !grant.isVoid && grant.expiresAt < 4e15)
      meet('a grant that expires');
  }
  const ends = lines.filter(({ kind }) => kind === 'expire').map(({ about_id }) => about_id);
  if (new Set(ends).size !== ends.length) say('a hold expired twice');
  for (const _ of ends) meet('a hold that expires');
}
