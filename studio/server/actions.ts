/**
 * What support does for a subject: one call of a function of pgquota each. A preview is the same call in a
 * transaction that is rolled back, so that what it shows is what the database did, and not what is thought of it.
 */
import type { Database, Query } from './database.ts';
import { LINES } from './ledger.ts';
import { Bad } from './refusal.ts';
import type { Act, ActionName, Effect, LedgerLine, Snapshot } from './shapes.ts';
import { CAPS, GRANTS, readLimits } from './subject.ts';

type Given = Act['arguments'];

interface Action {
  /** The function, and its arguments by name, as they are typed there. */
  call(act: Act): { name: string; values: Record<string, [value: unknown, type: string]> };
}

const text = (given: Given, name: string): string => {
  const value = given[name];
  if (typeof value !== 'string' || value === '') throw new Bad(`${name} is missing`);
  return value;
};
const orNull = (given: Given, name: string) => given[name] ?? null;

const ACTIONS: Record<ActionName, Action> = {
  set_plan: {
    call: ({ subject, arguments: given, reason }) => ({
      name: 'set_plan',
      values: {
        subject: [subject, 'text'],
        plan: [text(given, 'plan'), 'text'],
        anchor: [orNull(given, 'anchor'), 'timestamptz'],
        time_zone: [orNull(given, 'time_zone'), 'text'],
        ends_at: [orNull(given, 'ends_at'), 'timestamptz'],
        reason: [reason || null, 'text'],
      },
    }),
  },
  grant: {
    call: ({ subject, arguments: given, reason, key }) => ({
      name: 'grant_usage',
      values: {
        feature: [text(given, 'feature'), 'text'],
        amount: [orNull(given, 'amount'), 'bigint'],
        subject: [subject, 'text'],
        expires_at: [orNull(given, 'expires_at'), 'timestamptz'],
        idempotency_key: [key, 'text'],
        metadata: [JSON.stringify(reason ? { reason } : {}), 'jsonb'],
      },
    }),
  },
  take_back: {
    call: ({ subject, arguments: given, reason }) => ({
      name: 'void_grant',
      values: {
        grant_id: [text(given, 'grant_id'), 'uuid'],
        subject: [subject, 'text'],
        amount: [orNull(given, 'amount'), 'bigint'],
        reason: [reason || null, 'text'],
      },
    }),
  },
  set_limit: {
    call: ({ subject, arguments: given, reason }) => ({
      name: 'set_limit',
      values: {
        subject: [subject, 'text'],
        feature: [text(given, 'feature'), 'text'],
        period: [text(given, 'period'), 'text'],
        limit: [orNull(given, 'limit'), 'bigint'],
        ends_at: [orNull(given, 'ends_at'), 'timestamptz'],
        member: [orNull(given, 'member'), 'text'],
        reason: [reason || null, 'text'],
      },
    }),
  },
  clear_limit: {
    call: ({ subject, arguments: given, reason }) => ({
      name: 'clear_limit',
      values: {
        subject: [subject, 'text'],
        feature: [text(given, 'feature'), 'text'],
        period: [text(given, 'period'), 'text'],
        member: [orNull(given, 'member'), 'text'],
        reason: [reason || null, 'text'],
      },
    }),
  },
  reset: {
    call: ({ subject, arguments: given, reason, key }) => ({
      name: 'reset_usage',
      values: {
        feature: [text(given, 'feature'), 'text'],
        subject: [subject, 'text'],
        period: [orNull(given, 'period'), 'text'],
        reason: [reason || null, 'text'],
        idempotency_key: [key, 'text'],
      },
    }),
  },
  refund: {
    call: ({ subject, arguments: given, reason, key }) => ({
      name: 'refund_usage',
      values: {
        event_id: [text(given, 'event_id'), 'uuid'],
        amount: [orNull(given, 'amount'), 'bigint'],
        reason: [reason || null, 'text'],
        idempotency_key: [key, 'text'],
        subject: [subject, 'text'],
      },
    }),
  },
  release: {
    call: ({ subject, arguments: given, reason }) => ({
      name: 'release_usage',
      values: {
        reservation_id: [text(given, 'reservation_id'), 'uuid'],
        subject: [subject, 'text'],
        reason: [reason || null, 'text'],
      },
    }),
  },
  // Its ledger goes, and a reason with it.
  forget: {
    call: ({ subject }) => ({ name: 'forget_subject', values: { subject: [subject, 'text'] } }),
  },
};

export async function runAction(database: Database, act: Act, isPreview: boolean): Promise<Effect> {
  const action = ACTIONS[act.action];
  if (!action) throw new Bad(`there is no action ${act.action}`);
  if (!act.subject) throw new Bad('the subject is missing');
  if (!act.reason?.trim() && !isPreview)
    throw new Bad('a reason is missing: it is kept in the ledger');
  const { name, values } = action.call({ ...act, reason: act.reason?.trim() ?? '' });
  return database.write(async (query) => {
    const before = await readSnapshot(query, act.subject);
    const [{ began }] = (await query('select quota.clock() as began')) as [{ began: string }];
    const names = Object.keys(values);
    const [row] = await query(
      `select ${resultOf(name)} as answer from public.${name}(${names
        .map((one, n) => `"${one}" => $${n + 1}::${values[one]?.[1]}`)
        .join(', ')}) as r`,
      names.map((one) => values[one]?.[0]),
    );
    return {
      applied: !isPreview,
      statement: statementOf(name, values),
      answer: row?.answer ?? null,
      before,
      after: await readSnapshot(query, act.subject),
      lines: await query<LedgerLine>(
        `${LINES} where e.subject_id = $1 and e.at >= $2
           and e.xmin = pg_current_xact_id()::xid
         order by e.at desc, e.event_id desc limit 20`,
        [act.subject, began],
      ),
    };
  }, isPreview);
}

/** Of a function that returns nothing, nothing. */
const resultOf = (name: string) =>
  ['set_plan', 'set_limit', 'clear_limit'].includes(name) ? 'null::text' : 'to_jsonb(r)';

async function readSnapshot(query: Query, subject: string): Promise<Snapshot> {
  const [row] = await query(
    'select plan_ends_at, anchor_at, time_zone from quota.subjects where subject_id = $1',
    [subject],
  );
  const { limits } = await readLimits(query, subject);
  const caps = await query<Snapshot['limits'][number]>(CAPS, [subject]);
  const [{ left }] = (await query(`select coalesce(sum(g.left), 0) as left from (${GRANTS}) as g`, [
    subject,
  ])) as [{ left: number }];
  const [{ holds }] = (await query(
    `select count(*) as holds from quota.reservations
     where subject_id = $1 and state = 'open' and expires_at > quota.clock()`,
    [subject],
  )) as [{ holds: number }];
  const [{ lines }] = (await query(
    `select count(*) as lines from (select from quota.events where subject_id = $1 limit 100000) as l`,
    [subject],
  )) as [{ lines: number }];
  return {
    isKnown: row !== undefined,
    plan: limits.find(({ plan }) => plan)?.plan ?? null,
    plan_ends_at: row?.plan_ends_at ?? null,
    anchor_at: row?.anchor_at ?? null,
    time_zone: row?.time_zone ?? 'UTC',
    limits: [...limits.filter(({ source }) => source !== 'grant'), ...caps],
    grants: left,
    holds,
    lines,
  };
}

/** As it could be typed in psql, arguments that say nothing left out. */
function statementOf(name: string, values: Record<string, [unknown, string]>): string {
  const said = Object.entries(values).filter(
    ([one, [value]]) => value !== null || (name === 'set_limit' && one === 'limit'),
  );
  const words = said.map(([one, [value, type]]) => {
    const quoted =
      value === null
        ? 'null'
        : type === 'bigint'
          ? String(value)
          : `'${String(value).replaceAll("'", "''")}'`;
    return `${one === 'limit' ? '"limit"' : one} => ${quoted}`;
  });
  return `select ${name}(${words.join(', ')});`;
}
