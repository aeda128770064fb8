/**
 * pgquota alerts: hands alerts to a webhook until it is stopped. An alert is acknowledged when it has
 * arrived, and comes again otherwise, so that nothing is lost whatever ends here or there.
 */
import pg from 'pg';
import { findDatabaseUrl, fromEnvironment, placeOf, withDatabase } from './database.ts';
import { whenOrphaned } from './orphan.ts';
import { Problem } from './problem.ts';
import {
  createSend,
  type Failure,
  type Message,
  pause,
  ReceiverGone,
  type Send,
} from './webhook.ts';

/** Delivered at the same time. */
const AT_ONCE = 20;
/** Seconds between two looks at the database, when there was nothing. */
const BETWEEN_LOOKS = 2;
/** Seconds that a break lasts at first, and at most, while nothing arrives or no database answers. */
const [FIRST_BREAK, LONGEST_BREAK] = [2, 300];

export interface AlertsOptions {
  webhook: string;
  once: boolean;
  /** Seconds that the receiver has for its answer. */
  timeout: number;
  databaseUrl: string | undefined;
}

interface Deliverer {
  send: Send;
  once: boolean;
  stop: AbortSignal;
  /** What has arrived and is not acknowledged yet: the database may be away. */
  arrived: Set<string>;
  delivered: number;
  failed: number;
}

/** Whether all that was tried arrived. */
export async function alerts(options: AlertsOptions): Promise<boolean> {
  const url = findDatabaseUrl(options.databaseUrl);
  const secret = fromEnvironment('PGQUOTA_WEBHOOK_SECRET');
  if (!secret) {
    throw new Problem(
      'PGQUOTA_WEBHOOK_SECRET is not set.',
      "Deliveries are signed with it, and the receiver checks them: node -p \"'whsec_' + crypto.randomBytes(24).toString('base64')\" makes one.",
    );
  }
  const send = createSend(options.webhook, secret, options.timeout);
  const { signal: stop, release } = await stopBySignal(options.once);
  const { once } = options;
  const deliverer: Deliverer = { send, once, stop, arrived: new Set(), delivered: 0, failed: 0 };
  console.log(`${placeOf(url)} → ${new URL(options.webhook).origin}`);
  try {
    await keepConnected(url, deliverer);
  } finally {
    release();
  }
  const { delivered, failed } = deliverer;
  console.log(`${delivered} delivered${failed ? `, ${failed} times without success` : ''}.`);
  return !once || failed === 0;
}

async function keepConnected(url: string, deliverer: Deliverer): Promise<void> {
  const { once, stop } = deliverer;
  let hadConnection = false;
  let breaks = 0;
  for (;;) {
    try {
      return await withDatabase(url, async (client) => {
        await requireAlerts(client, url);
        hadConnection = true;
        await deliver(client, deliverer, () => {
          breaks = 0;
        });
      });
    } catch (error) {
      if (once || !hadConnection || !isPassing(error)) throw explain(error);
      const seconds = lengthOfBreak(breaks++);
      console.error(`no database (${(error as Error).message}); again in ${seconds} s`);
      await pause(seconds, stop);
      if (stop.aborted) return;
    }
  }
}

async function deliver(
  client: pg.Client,
  deliverer: Deliverer,
  onAnswer: () => void,
): Promise<void> {
  const { once, stop } = deliverer;
  let breaks = 0;
  for (;;) {
    await acknowledge(client, deliverer);
    if (stop.aborted) return;
    const messages = await handOut(client);
    onAnswer();
    if (messages.length === 0) {
      if (once) return;
      await pause(BETWEEN_LOOKS, stop);
      continue;
    }
    const failures = await sendAll(client, messages, deliverer);
    if (failures.length < messages.length) breaks = 0;
    else if (once) return;
    else {
      const asked = Math.max(...failures.map(({ retryAfter }) => retryAfter));
      const seconds = Math.min(LONGEST_BREAK, Math.max(lengthOfBreak(breaks++), asked));
      console.error(`nothing arrives; again in ${Math.ceil(seconds)} s`);
      await pause(seconds, stop);
    }
  }
}

/** Each is acknowledged when it has arrived; those that fail are handed out again after a while. */
async function sendAll(
  client: pg.Client,
  messages: Message[],
  deliverer: Deliverer,
): Promise<Failure[]> {
  const failures: Failure[] = [];
  const ends = await Promise.allSettled(
    messages.map(async (message) => {
      const failure = await deliverer.send(message, deliverer.stop);
      if (failure) {
        failures.push(failure);
        deliverer.failed++;
        console.error(`${message.id} did not arrive: ${failure.reason}`);
      } else {
        deliverer.delivered++;
        deliverer.arrived.add(message.id);
        await acknowledge(client, deliverer);
        console.log(`${message.id} arrived`);
      }
    }),
  );
  const broken = ends.find((end) => end.status === 'rejected');
  if (broken) throw broken.reason;
  return failures;
}

const HAND_OUT = `
  select alert_id, at, subject, feature, period, period_start, threshold, used, "limit", member
  from public.deliver_alerts($1)`;

async function handOut(client: pg.Client): Promise<Message[]> {
  const { rows } = await ask(client, HAND_OUT, [AT_ONCE]);
  return rows.map((row) => ({
    id: row.alert_id,
    event: {
      type: 'usage.alert',
      timestamp: row.at.toISOString(),
      data: {
        subject: row.subject,
        feature: row.feature,
        period: row.period,
        period_start: row.period_start?.toISOString() ?? null,
        // As texts of Postgres; the contract keeps them below 2^53.
        threshold: Number(row.threshold),
        used: Number(row.used),
        limit: Number(row.limit),
        ...(row.member === null ? {} : { member: row.member }),
      },
    },
  }));
}

async function acknowledge(client: pg.Client, { arrived }: Deliverer): Promise<void> {
  const ids = [...arrived];
  if (ids.length === 0) return;
  await ask(client, 'select public.acknowledge_alerts($1)', [ids]);
  for (const id of ids) arrived.delete(id);
}

/** A connection that died without a sound must not be waited for. */
function ask(client: pg.Client, text: string, values: unknown[]) {
  const query: pg.QueryConfig & { query_timeout: number } = { text, values, query_timeout: 30_000 };
  return client.query(query);
}

async function requireAlerts(client: pg.Client, url: string): Promise<void> {
  const { rows } = await client.query(
    `select to_regprocedure('public.deliver_alerts(integer)') is not null as is_installed`,
  );
  if (rows[0].is_installed) return;
  throw new Problem(
    `The pgquota of ${placeOf(url)} hands out no alerts, or there is none.`,
    'Apply its migrations first; npx pgquota init writes those that are missing.',
  );
}

/** What is wrong now and may be right again: all but a missing right or function, and a 410. */
function isPassing(error: unknown): boolean {
  if (error instanceof ReceiverGone) return false;
  return !(error instanceof pg.DatabaseError && error.code?.startsWith('42'));
}

function explain(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError) || error.code !== '42501') return error;
  return new Problem(
    `This database user may not deliver alerts: ${error.message}.`,
    'Connect as the owner of schema quota (postgres on Supabase) or as service_role.',
  );
}

const lengthOfBreak = (breaks: number) => Math.min(LONGEST_BREAK, FIRST_BREAK * 2 ** breaks);

/** The first signal ends it in order, the second at once; so does the end of the npx that started it. */
async function stopBySignal(once: boolean) {
  const controller = new AbortController();
  const stop = () => {
    console.log('stopping: what is on its way is finished first');
    controller.abort();
  };
  // A closed terminal closes the output too. SIGHUP ends it at once, unless nohup keeps that away.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.once(signal, stop);
  const release = () => {
    for (const signal of signals) process.off(signal, stop);
  };
  if (!once) await whenOrphaned(stop);
  return { signal: controller.signal, release };
}
