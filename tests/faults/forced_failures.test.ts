// A failure at any write of a call: nothing of the call stays, and its key is free for the retry.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { consume, run } from '../concurrency/race.ts';
import { everythingStored } from '../support/stored.ts';

/** Makes the next write to the table fail, as a full disk or a lost node would. */
async function breakTable(owner: pg.Client, table: string): Promise<() => Promise<void>> {
  await owner.query(`
    create or replace function public.fail() returns trigger language plpgsql
      as $$begin raise exception 'broken' using errcode = '58030'; end$$;
    create trigger fail before insert or update or delete on quota.${table}
      for each row execute function public.fail()`);
  return async () => {
    await owner.query(`drop trigger fail on quota.${table}`);
  };
}

async function writtenTables(owner: pg.Client): Promise<string[]> {
  const { rows } = await owner.query<{ name: string }>(
    `select relname as name from pg_class
     where relnamespace = 'quota'::regnamespace and relkind = 'r' order by 1`,
  );
  return rows.map(({ name }) => name);
}

const decisionOf = async (client: pg.Client, sql: string, values: unknown[] = []) =>
  (await client.query(`select to_jsonb(d) as decision from ${sql} as d`, values)).rows[0]?.decision;

interface Call {
  /** What has to be there before; its result is handed to the call. */
  prepare?(client: pg.Client): Promise<string>;
  call(client: pg.Client, prepared: string): Promise<{ replayed?: boolean } | null>;
}

const SUBJECT = 'customer';
const use = { subject: SUBJECT, amount: 2 };

const CALLS: Record<string, Call> = {
  'the first use, with a key': {
    call: (client) => consume(client, { ...use, key: 'order-1' }),
  },
  'a later use, with a key': {
    prepare: async (client) => (await consume(client, use)).event_id,
    call: (client) => consume(client, { ...use, key: 'order-1' }),
  },
  'a later use, without one': {
    prepare: async (client) => (await consume(client, use)).event_id,
    call: (client) => consume(client, use),
  },
  'a use that crosses 80 %': {
    prepare: async (client) => (await consume(client, use)).event_id,
    call: (client) => consume(client, { subject: SUBJECT, amount: 45, key: 'order-1' }),
  },
  'a refund, with a key': {
    prepare: async (client) => (await consume(client, use)).event_id,
    call: (client, event) =>
      decisionOf(client, `public.refund_usage($1, 1, idempotency_key => 'refund-1')`, [event]),
  },
  'a plan change that moves the anchor': {
    prepare: async (client) => (await consume(client, use)).event_id,
    call: (client) =>
      decisionOf(client, `public.set_plan($1, 'pro', anchor => '2026-01-05T00:00:00Z')`, [SUBJECT]),
  },
  'a batch': {
    call: (client) =>
      decisionOf(
        client,
        `public.consume_usage_batch(
          '[{"feature": "ai_generation", "amount": 2}, {"feature": "export", "amount": 1}]', $1, 'batch-1')`,
        [SUBJECT],
      ),
  },
  'a reservation, with a key': {
    call: (client) =>
      decisionOf(client, `public.reserve_usage('ai_generation', 2, $1, idempotency_key => 'r-1')`, [
        SUBJECT,
      ]),
  },
  'a commit of less than was held': {
    prepare: async (client) =>
      (await decisionOf(client, `public.reserve_usage('ai_generation', 2, $1)`, [SUBJECT]))
        .reservation_id,
    call: (client, id) => decisionOf(client, 'public.commit_usage($1, 1)', [id]),
  },
  'a release': {
    prepare: async (client) =>
      (await decisionOf(client, `public.reserve_usage('ai_generation', 2, $1)`, [SUBJECT]))
        .reservation_id,
    call: (client, id) => decisionOf(client, 'public.release_usage($1)', [id]),
  },
};

test.for(Object.entries(CALLS))(
  '%s: all of it or nothing, at whichever table it fails',
  ([, { prepare, call }]) =>
    run(async ({ owner, server }) => {
      const client = await server();
      const prepared = (await prepare?.(client)) ?? '';
      const before = await everythingStored(owner);
      const brokeAt: string[] = [];
      for (const table of await writtenTables(owner)) {
        const repair = await breakTable(owner, table);
        // Rolled back also where it does not write to this table: every attempt starts from the same.
        await client.query('begin');
        const code = await call(client, prepared).then(
          () => 'done',
          (error) => error.code,
        );
        await client.query('rollback');
        await repair();
        if (code !== 'done') {
          expect(code).toBe('58030');
          brokeAt.push(table);
          // And once more without a transaction around it, as most callers are.
          const again = await breakTable(owner, table);
          await expect(call(client, prepared)).rejects.toMatchObject({ code: '58030' });
          await again();
          expect(await everythingStored(owner)).toBe(before);
        }
      }
      expect(brokeAt).toContain('events');

      const answer = await call(client, prepared);
      expect(answer?.replayed ?? false).toBe(false);
      expect(await everythingStored(owner)).not.toBe(before);
    }),
);
