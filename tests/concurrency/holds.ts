/** Reserve, commit, release and batch as calls that a race can make at once or start and see waiting. */
import type pg from 'pg';
import { callAndWaitBlocked } from '../support/blocking.ts';
import type { Decision as Consumed, Race } from './race.ts';

export interface Decision extends Consumed {
  reserved: number;
  granted: number;
  period: string;
  retry_after: number | null;
  reservation_id: string;
}

export interface Call {
  sql: string;
  values: unknown[];
}

/** Of a function that gives one decision or several; as JSON, as rpc() would give it. */
const callOf = (expression: string, ...values: unknown[]): Call => ({
  sql: `select to_jsonb(d) as decision from public.${expression} as d`,
  values,
});

export interface Hold {
  subject: string;
  feature?: string;
  amount?: number;
  ttl?: string;
  key?: string;
  partial?: boolean;
}

export const calls = {
  consume: ({ subject, feature = 'ai_generation', amount = 1, ...rest }: Omit<Hold, 'ttl'>) =>
    callOf(
      'consume_usage($1, $2, $3, $4, partial => $5)',
      ...[feature, amount, subject, rest.key, rest.partial ?? false],
    ),
  reserve: ({ subject, feature = 'ai_generation', amount = 1, ...rest }: Hold) =>
    callOf(
      'reserve_usage($1, $2, $3, $4, $5, partial => $6)',
      ...[feature, amount, subject, rest.ttl ?? '15 minutes', rest.key, rest.partial ?? false],
    ),
  extend: (reservation: string, ttl = '15 minutes') =>
    callOf('extend_usage($1, $2)', reservation, ttl),
  commit: (reservation: string, amount?: number) =>
    callOf('commit_usage($1, $2)', reservation, amount),
  release: (reservation: string) => callOf('release_usage($1)', reservation),
  reset: (subject: string, period?: string, key?: string, feature = 'ai_generation') =>
    callOf('reset_usage($1, $2, $3, null, $4)', feature, subject, period, key),
  refund: (event: string, amount?: number) => callOf('refund_usage($1, $2)', event, amount),
  batch: (subject: string, items: { feature: string; amount?: number }[], key?: string) =>
    callOf('consume_usage_batch($1, $2, $3)', JSON.stringify(items), subject, key),
};

export async function decisionsOf(
  client: pg.ClientBase | pg.Pool,
  call: Call,
): Promise<Decision[]> {
  const { rows } = await client.query(call.sql, call.values);
  return rows.map((row) => row.decision);
}

export async function decisionOf(client: pg.ClientBase | pg.Pool, call: Call): Promise<Decision> {
  return (await decisionsOf(client, call))[0] as Decision;
}

/** Starts a call that must wait for somebody, and returns when it does. */
export async function startBlocked({ owner }: Race, client: pg.Client, call: Call) {
  const { result } = await callAndWaitBlocked(owner, client, call.sql, call.values);
  const answer: Promise<Decision> = result.then(({ rows }) => rows[0]?.decision);
  answer.catch(() => {}); // whoever awaits it hears of it
  return { answer };
}

/** What became of a call: its decision, or the code of its error. */
export const outcomeOf = (call: Promise<Decision>): Promise<Decision | string> =>
  call.catch((error: pg.DatabaseError) => {
    if (!error.code) throw error;
    return error.code;
  });

/** The kinds of a subject's ledger lines, in the order in which they were written. */
export async function kindsOf(client: pg.ClientBase, subject: string): Promise<string[]> {
  const { rows } = await client.query(
    'select kind from quota.events where subject_id = $1 order by xmin::text::bigint, ctid',
    [subject],
  );
  return rows.map((row) => row.kind);
}
