/**
 * The races of a limited table. The race tests play them on the engine, the zoo plays them on broken
 * variants of it, each of which must fail.
 */
import type pg from 'pg';
import { expect } from 'vitest';
import { queryBlocked, type Race, run, type Scenario } from '../concurrency/race.ts';
import type { Sabotage } from '../zoo/rewrite.ts';
import { countsOf, createFiles, LIMIT, limitFiles, linesOf } from './files.ts';

/** A race over a table that limits itself; `sabotage` breaks the engine before it does. */
export const runOnFiles = (scenario: Scenario, sabotage?: Sabotage) =>
  run(
    async (race) => {
      await limitFiles(race.owner);
      await scenario(race);
    },
    async (owner) => {
      await createFiles(owner);
      await sabotage?.(owner);
    },
  );

export const INSERT = 'insert into public.files (user_id) select unnest($1::text[])';

/** Rows of these subjects, in one statement. */
export const insertRows = (client: pg.ClientBase | pg.Pool, ...subjects: string[]) =>
  client.query(INSERT, [subjects]);

/** The code of a refusal, or ok. Others than these are no answer of a limited table. */
export async function outcomeOf(call: Promise<unknown>, ...expected: string[]): Promise<string> {
  return call.then(
    () => 'ok',
    (error: pg.DatabaseError) => {
      if (error.code === 'PT402' || expected.includes(error.code ?? ''))
        return error.code as string;
      throw error;
    },
  );
}

/** A caller far back in the queue may see the lock timeout on a slow machine; the promise is a retry. */
async function insertedAtLast(
  first: Promise<unknown>,
  client: pg.ClientBase,
  subject: string,
): Promise<string> {
  const outcome = await outcomeOf(first, '55P03');
  if (outcome !== '55P03') return outcome;
  return insertedAtLast(insertRows(client, subject), client, subject);
}

/**
 * Rows that were there before the limit have no counter yet. One is opened by a transaction whose snapshot
 * is older than the deletion of some: it must fail with 40001, or count them.
 */
export const olderSnapshot: Scenario = async (race) => {
  const { owner } = race;
  const [one, other] = await Promise.all([race.server(), race.server()]);
  await owner.query(`select quota.unlimit_table('public.files')`);
  await insertRows(owner, ...Array(4).fill('ada'));
  await limitFiles(owner);
  await one.query('begin isolation level repeatable read');
  await one.query('select count(*) from public.usage_events');
  await other.query('delete from public.files');
  const outcome = await outcomeOf(insertRows(one, 'ada'), '40001');
  await one.query(outcome === 'ok' ? 'commit' : 'rollback');
  const { gauge, rows } = await countsOf(owner, 'ada');
  expect(gauge, 'a counter that an older snapshot opens').toBe(rows);
};

/** The last row is inserted and rolled back while 32 wait: one of them gets it, and only one. */
export const lastRowOf32: Scenario = async (race) => {
  const subject = 'crowd';
  const [holder, ...writers] = await Promise.all(Array.from({ length: 33 }, race.server));
  if (!holder) throw new Error('no session');
  await insertRows(holder, ...Array(LIMIT - 1).fill(subject));

  await holder.query('begin');
  await insertRows(holder, subject);
  const waiting = [];
  for (const writer of writers) waiting.push(await queryBlocked(race, writer, INSERT, [[subject]]));
  await holder.query('rollback');

  const outcomes = await Promise.all(
    waiting.map(({ result }, at) => insertedAtLast(result, writers[at] as pg.Client, subject)),
  );
  expect(
    outcomes.filter((outcome) => outcome === 'ok'),
    'writers at the last free row',
  ).toHaveLength(1);
  expect(await countsOf(holder, subject)).toEqual({ gauge: LIMIT, rows: LIMIT });
};

/** A statement is counted at once, however many rows it has. */
export const oneLinePerStatement: Scenario = async ({ owner, server }) => {
  const client = await server();
  await insertRows(client, 'one', 'one', 'two', 'one');
  await client.query(`update public.files set user_id = 'two' where user_id = 'one'`);
  await client.query(`delete from public.files where user_id = 'two'`);
  expect(await linesOf(owner, 'one'), 'lines of three statements').toEqual([3, -3]);
  expect(await linesOf(owner, 'two'), 'lines of three statements').toEqual([1, 3, -4]);
};

/** A row changes hands. */
export const ownerChanges: Scenario = async ({ owner, server }) => {
  const client = await server();
  await insertRows(client, 'from', 'from', 'to');
  await client.query(`update public.files set user_id = 'to' where user_id = 'from'`);
  expect(await countsOf(owner, 'from'), 'rows that were given away').toEqual({ gauge: 0, rows: 0 });
  expect(await countsOf(owner, 'to'), 'rows that were received').toEqual({ gauge: 3, rows: 3 });
};

/** A partitioned table is truncated beside another table of the gauge. */
export const partitionsTruncated: Scenario = async ({ owner }) => {
  await owner.query(`
    create table public.parts (user_id text, part integer) partition by list (part);
    create table public.part_1 partition of public.parts for values in (1);
    create table public.part_2 partition of public.parts for values in (2);
    select quota.limit_table('public.parts', 'kb_file', 'user_id');
    insert into public.parts values ('ada', 1), ('ada', 2)`);
  await insertRows(owner, 'ada', 'ada', 'ada');
  await owner.query('truncate public.parts');
  expect(await countsOf(owner, 'ada'), 'what truncate gives back').toEqual({ gauge: 3, rows: 3 });
};

/** A table that has a limit of its own is being attached when the whole table gets its limit. */
export const attachedWhileLimited: Scenario = async (race) => {
  const { owner, database } = race;
  const [dba, other] = await Promise.all([database.connect(), database.connect()]);
  await owner.query(`
    create table public.parts (user_id text, part integer, kind integer) partition by list (part);
    create table public.part_1 partition of public.parts for values in (1);
    create table public.part_2 partition of public.parts for values in (2) partition by list (kind);
    create table public.part_2a partition of public.part_2 for values in (1);
    create table public.own (user_id text, part integer, kind integer);
    create table public.own_below (user_id text, part integer, kind integer);
    select quota.limit_table(t, 'kb_file', 'user_id')
      from unnest(array['public.parts', 'public.own', 'public.own_below']::regclass[]) as t;
    insert into public.parts values ('ada', 1, 1);
    insert into public.own values ('ada', 3, 1);
    insert into public.own_below values ('ada', 2, 2)`);
  const used = async () =>
    (await owner.query(`select used::integer from public.check_usage('kb_file', 1, 'ada')`)).rows[0]
      .used;
  const limit = `select quota.limit_table('public.parts', 'kb_file', 'user_id')`;

  for (const [attach, insert] of [
    [
      'public.parts attach partition public.own for values in (3)',
      `public.own values ('bob', 3, 1)`,
    ],
    [
      'public.part_2 attach partition public.own_below for values in (2)',
      `public.own_below values ('bob', 2, 2)`,
    ],
  ]) {
    await other.query(`begin; alter table ${attach}`);
    const limiting = await queryBlocked(race, dba, limit);
    await other.query('commit');
    await limiting.result;
    expect(await used(), 'rows of a table that was being attached').toBe(3);
    await owner.query(`insert into ${insert}`);
  }
  const { rows } = await owner.query(
    'select table_id::text from quota.limited_tables order by table_id::text',
  );
  expect(
    rows.map((row) => row.table_id),
    'what is limited',
  ).toEqual(['files', 'parts']);

  // Attached after both had their limit, and another table of the gauge is counted anew.
  await owner.query(`
    alter table public.parts detach partition public.own;
    select quota.limit_table('public.parts', 'kb_file', 'user_id');
    select quota.limit_table('public.own', 'kb_file', 'user_id');
    alter table public.parts attach partition public.own for values in (3)`);
  await limitFiles(owner);
  expect(await used(), 'rows of a table that has a limit twice').toBe(3);
  await owner.query(
    `insert into public.parts values ('cyd', 3, 1); insert into public.own values ('cyd', 3, 1)`,
  );
  expect((await owner.query('select * from public.verify_usage()')).rows).toEqual([]);
  await owner.query('alter table public.parts detach partition public.own');
  await limitFiles(owner);
  expect(await used(), 'rows of a table that was detached').toBe(3);
};

/** A statement makes its next subject while the rows of another table are counted. */
export const countedCrosswise: Scenario = async (race) => {
  const { owner, database, server } = race;
  const [dba, writer] = await Promise.all([database.connect(), server()]);
  await owner.query(`
    create table public.notes (user_id text);
    insert into public.notes values ('ada'), ('zed')`);
  await insertRows(writer, 'ada');

  await writer.query('begin');
  await insertRows(writer, 'ada');
  const limiting = await queryBlocked(
    race,
    dba,
    `select quota.limit_table('public.notes', 'kb_file', 'user_id')`,
  );
  await insertRows(writer, 'zed');
  await writer.query('commit');
  await limiting.result;
  const { rows } = await owner.query(
    `select subject, used::integer from public.current_usage where feature = 'kb_file' order by subject`,
  );
  expect(rows, 'rows of both tables').toEqual([
    { subject: 'ada', used: 3 },
    { subject: 'zed', used: 2 },
  ]);
};

/** The table gets its limit while one writer has written and another waits to. */
export const limitedWhileWritersWait: Scenario = async (race) => {
  const { owner } = race;
  const [earlier, later] = await Promise.all([race.server(), race.server()]);
  const dba = await race.database.connect();
  await owner.query(`select quota.unlimit_table('public.files')`);
  await insertRows(earlier, 'ada');

  await earlier.query('begin');
  await insertRows(earlier, 'ada', 'ada', 'bob');
  const limiting = await queryBlocked(
    race,
    dba,
    `select quota.limit_table('public.files', 'kb_file', 'user_id')`,
  );
  const writing = await queryBlocked(race, later, INSERT, [['ada', 'bob', 'cyd']]);
  await earlier.query('commit');
  await Promise.all([limiting.result, writing.result]);

  expect(await countsOf(owner, 'ada'), 'rows of both writers').toEqual({ gauge: 4, rows: 4 });
  expect(await countsOf(owner, 'bob'), 'rows of both writers').toEqual({ gauge: 2, rows: 2 });
  expect(await countsOf(owner, 'cyd'), 'rows of both writers').toEqual({ gauge: 1, rows: 1 });
  await insertRows(later, 'ada');
  expect(await outcomeOf(insertRows(later, 'ada'))).toBe('PT402');
};

/** Statements over the same subjects in opposite order, each in one go. */
export async function crosswise({ database, server }: Race): Promise<void> {
  const subjects = Array.from({ length: 8 }, (_, at) => `subject-${at}`);
  const sessions = await Promise.all(Array.from({ length: 8 }, server));
  await Promise.all(
    sessions.map(async (client, at) => {
      const order = at % 2 ? subjects : [...subjects].reverse();
      for (let round = 0; round < 15; round++) {
        const { rows } = await client.query(`${INSERT} returning id`, [order]).catch((error) => {
          if (error.code !== 'PT402' && error.code !== '55P03') throw error;
          return { rows: [] };
        });
        const ids = rows.map((row) => row.id);
        const gone = client.query('delete from public.files where id = any ($1)', [ids]);
        await outcomeOf(gone, '55P03');
      }
    }),
  );
  const observer = await database.connect();
  await observer.query('select pg_stat_force_next_flush()');
  const { rows } = await observer.query(
    'select deadlocks::integer as n from pg_stat_database where datname = $1',
    [database.name],
  );
  expect(rows[0].n, 'deadlocks').toBe(0);
}
