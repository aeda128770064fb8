/**
 * The load: sessions that call, over and over, and keep what they were told. One whose server dies connects
 * again and repeats a call that had a key, as an app does; of one without a key it cannot know.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Call, calls, type Decision, decisionsOf } from '../concurrency/holds.ts';
import { type Random, randomFrom } from '../periods/random.ts';
import { PLAN_NAMES, ROAMING, STRICT } from './world.ts';

/** What was told since the last proof; the sums since the beginning. */
export interface Told {
  /** Uses that were allowed, by the id of their line. */
  events: string[];
  /** Keys of which a call was allowed. */
  keys: string[];
  /** Units of the strict subjects: told, and those that a crash left without an answer. */
  units: Record<string, { told: number; unknown: number }>;
  /** Days of strict subjects, by their start, that were said to be full. */
  full: Set<string>;
  /** Milliseconds that calls took. */
  latencies: number[];
  answers: Record<string, number>;
  /** What no caller should ever see. */
  findings: string[];
}

export const newTold = (): Told => ({
  events: [],
  keys: [],
  units: Object.fromEntries(STRICT.map((subject) => [subject, { told: 0, unknown: 0 }])),
  full: new Set(),
  latencies: [],
  answers: {},
  findings: [],
});

/** Answers to random arguments, and of who waited too long. Any other error is a finding. */
const EXPECTED = ['QRSRV', 'QAMNT', 'QPLAN', 'PT402', '22023', '55P03'];

export class Load {
  readonly told = newTold();
  readonly #url: () => string;
  #isEnding = false;
  #gate: Promise<void> = Promise.resolve();
  #open = () => {};
  #inFlight = 0;
  #sessions: Promise<void>[] = [];

  /** `url` tells where the server is now: after a crash on another port. */
  constructor(url: () => string) {
    this.#url = url;
  }

  start(sessions: number, seed: number): void {
    this.#sessions = Array.from({ length: sessions }, (_, at) => this.#session(at, seed));
  }

  /** Holds the calls to come back, and waits for those under way; `resume` lets them go. */
  async pause(): Promise<void> {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
    while (this.#inFlight) await sleep(1);
  }

  resume(): void {
    this.#open();
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    this.resume();
    await Promise.all(this.#sessions);
  }

  async #session(at: number, seed: number): Promise<void> {
    const random = randomFrom(seed + at);
    const recent: Recent = { uses: [], holds: [] };
    let client: pg.Client | undefined;
    for (let n = 0; ; n++) {
      await this.#gate;
      if (this.#isEnding) break;
      this.#inFlight++;
      try {
        client ??= await this.#connect();
        await this.#step(client, random, recent, `${seed}-${at}-${n}`);
      } catch (error) {
        // Its server is gone: while it starts again there is nobody to ask.
        if ((error as pg.DatabaseError).code?.length === 5) {
          const { code, message } = error as pg.DatabaseError;
          if (!/^(57P0[123]|08...)$/.test(code ?? ''))
            this.told.findings.push(`${code} ${message}`);
        }
        await client?.end().catch(() => {});
        client = undefined;
        await sleep(50);
      } finally {
        this.#inFlight--;
      }
    }
    await client?.end().catch(() => {});
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client(this.#url());
    client.on('error', () => {}); // a killed server; the query at hand rejects anyway
    await client.connect();
    await client.query('set role service_role');
    return client;
  }

  async #step(client: pg.Client, random: Random, recent: Recent, key: string): Promise<void> {
    const subject = random.pick(ROAMING);
    const feature = random.pick(['token', 'token', 'image']);
    const amount = random.between(1, 4);
    const dice = random.between(1, 100);
    if (dice <= 15) return this.#consumeUnit(client, random, key);
    if (dice <= 50) {
      const keyed = dice <= 30 ? key : undefined;
      const call = calls.consume({ subject, feature, amount, key: keyed, partial: dice % 7 === 0 });
      const [decision] = await this.#ask(client, call, keyed);
      if (decision?.allowed) remember(recent.uses, decision.event_id);
    } else if (dice <= 62) {
      const ttl = `${random.between(1, 20)} seconds`;
      const [decision] = await this.#ask(client, calls.reserve({ subject, feature, amount, ttl }));
      if (decision?.allowed) remember(recent.holds, decision.reservation_id);
    } else if (dice <= 70) {
      const hold = random.pick([...recent.holds, undefined]);
      if (hold) await this.#ask(client, calls.commit(hold, random.between(0, 6)));
    } else if (dice <= 74) {
      const hold = random.pick([...recent.holds, undefined]);
      const ended = random.between(0, 1) ? calls.release : calls.extend;
      if (hold) await this.#ask(client, ended(hold));
    } else if (dice <= 80) {
      const use = random.pick([...recent.uses, undefined]);
      if (use) await this.#ask(client, calls.refund(use, 1));
    } else if (dice <= 86) {
      const items = [
        { feature, amount },
        { feature: 'credit', amount: 1 },
      ];
      await this.#ask(client, calls.batch(subject, items));
    } else if (dice <= 92) {
      await this.#files(client, random, subject);
    } else {
      await this.#terms(client, random, subject);
    }
  }

  async #consumeUnit(client: pg.Client, random: Random, key: string): Promise<void> {
    const subject = random.pick(STRICT);
    const keyed = random.between(0, 1) ? key : undefined;
    const sums = this.told.units[subject] as { told: number; unknown: number };
    // Until it is answered it may have counted or not; one with a key is asked again until it is told.
    sums.unknown++;
    const [decision] = await this.#ask(
      client,
      calls.consume({ subject, feature: 'unit', key: keyed }),
      keyed,
    );
    sums.unknown--;
    if (decision?.allowed) sums.told++;
    else if (decision) this.told.full.add(`${subject} ${decision.period_start}`);
  }

  /** With a key: until it is answered, whatever becomes of the server meanwhile. */
  async #ask(client: pg.Client, call: Call, key?: string): Promise<Decision[]> {
    const from = performance.now();
    const decisions = await this.#answer(client, call).catch(async (error: pg.DatabaseError) => {
      if (!key || EXPECTED.includes(error.code ?? '')) throw error;
      return this.#repeat(call);
    });
    this.told.latencies.push(performance.now() - from);
    for (const { allowed, reason, event_id, replayed } of decisions) {
      const answer = replayed ? 'replayed' : reason;
      this.told.answers[answer] = (this.told.answers[answer] ?? 0) + 1;
      if (allowed && event_id) this.told.events.push(event_id);
      if (allowed && key) this.told.keys.push(key);
    }
    return decisions;
  }

  async #answer(client: pg.Client, call: Call): Promise<Decision[]> {
    try {
      return await decisionsOf(client, call);
    } catch (error) {
      const { code } = error as pg.DatabaseError;
      if (!code || !EXPECTED.includes(code)) throw error;
      this.told.answers[code] = (this.told.answers[code] ?? 0) + 1;
      // Who waited too long asks again; the others were told no.
      return code === '55P03' ? this.#answer(client, call) : [];
    }
  }

  async #repeat(call: Call): Promise<Decision[]> {
    for (;;) {
      await sleep(100);
      try {
        const client = await this.#connect();
        try {
          return await this.#answer(client, call);
        } finally {
          await client.end();
        }
      } catch {
        // It is not back yet.
      }
    }
  }

  async #files(client: pg.Client, random: Random, subject: string): Promise<void> {
    const call =
      random.between(0, 2) > 0
        ? { sql: 'insert into public.files (owner_id) values ($1)', values: [subject] }
        : {
            sql: 'delete from public.files where id = (select min(id) from public.files where owner_id = $1)',
            values: [subject],
          };
    await this.#answer(client, call);
  }

  async #terms(client: pg.Client, random: Random, subject: string): Promise<void> {
    const dice = random.between(1, 8);
    const text = (sql: string, ...values: unknown[]): Call => ({ sql, values });
    if (dice === 1) {
      await this.#answer(
        client,
        text('select public.set_plan($1, $2)', subject, random.pick(PLAN_NAMES)),
      );
    } else if (dice === 2) {
      await this.#answer(client, text(`select public.grant_usage('token', 20, $1)`, subject));
    } else if (dice === 3) {
      await this.#answer(
        client,
        text(`select public.set_limit($1, 'token', 'month', 500)`, subject),
      );
    } else if (dice === 4) {
      await this.#ask(client, calls.reset(subject, undefined, undefined, 'token'));
    } else if (dice <= 6) {
      await this.#answer(
        client,
        text('select * from public.current_usage where subject = $1', subject),
      );
    } else {
      await this.#ask(client, {
        sql: `select to_jsonb(d) as decision from public.check_usage('token', 1, $1) as d`,
        values: [subject],
      });
    }
  }
}

interface Recent {
  uses: string[];
  holds: string[];
}

function remember(ids: string[], id: string): void {
  ids.push(id);
  if (ids.length > 30) ids.shift();
}
