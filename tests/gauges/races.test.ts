// A table that limits itself, written by many at once.
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { calls, decisionOf } from '../concurrency/holds.ts';
import { queryBlocked } from '../concurrency/race.ts';
import { countsOf, LIMIT, linesOf } from './files.ts';
import {
  attachedWhileLimited,
  countedCrosswise,
  crosswise,
  INSERT,
  insertRows,
  lastRowOf32,
  limitedWhileWritersWait,
  olderSnapshot,
  oneLinePerStatement,
  outcomeOf,
  ownerChanges,
  partitionsTruncated,
  runOnFiles,
} from './scenarios.ts';

test('of 32 connections that wait for the last free row exactly one gets it', () =>
  runOnFiles(lastRowOf32));

test('32 connections that insert as fast as they can, the first row included, fill the limit and stop', () =>
  runOnFiles(async ({ database, owner }) => {
    const pool = database.pool(32);
    const calls = Array.from({ length: 128 }, () => outcomeOf(insertRows(pool, 'crowd'), '55P03'));
    const outcomes = await Promise.all(calls);
    expect(outcomes.filter((outcome) => outcome === 'ok')).toHaveLength(LIMIT);
    expect(await countsOf(owner, 'crowd')).toEqual({ gauge: LIMIT, rows: LIMIT });
  }));

test('a statement has one line for each subject', () => runOnFiles(oneLinePerStatement));

test('a row that changes hands is counted for one', () => runOnFiles(ownerChanges));

test('truncating a partitioned table gives its rows back once', () =>
  runOnFiles(partitionsTruncated));

test('a table that gets its limit while one writer has written and another waits counts both', () =>
  runOnFiles(limitedWhileWritersWait));

test('a counter is not opened from a ledger that an older snapshot shows', () =>
  runOnFiles(olderSnapshot));

test('what rows count is given back by the rows alone: not by a return, a refund or by forgetting', () =>
  runOnFiles(async ({ owner, server }) => {
    const client = await server();
    await insertRows(client, ...Array(4).fill('ada'));
    const use = await decisionOf(client, calls.consume({ subject: 'ada', feature: 'kb_file' }));
    const giveBack = `select to_jsonb(d) as decision from public.return_usage('kb_file', 3, 'ada') as d`;
    expect(await decisionOf(client, { sql: giveBack, values: [] })).toMatchObject({ amount: 1 });
    expect(await outcomeOf(decisionOf(client, calls.refund(use.event_id)), 'QAMNT')).toBe('QAMNT');
    expect(await countsOf(owner, 'ada')).toEqual({ gauge: 4, rows: 4 });
    await client.query(`select public.forget_subject('ada')`);
    expect(await countsOf(owner, 'ada')).toEqual({ gauge: 4, rows: 4 });
    expect(await decisionOf(client, { sql: giveBack, values: [] })).toMatchObject({ amount: 0 });
    expect(await outcomeOf(insertRows(client, 'ada', 'ada'))).toBe('PT402');
    await client.query('delete from public.files');
    await client.query(`select public.forget_subject('ada')`);
    const { rows } = await owner.query('select subject_id from quota.subjects');
    expect(rows).toEqual([]);
  }));

test('a table that is attached while the whole gets its limit counts once', () =>
  runOnFiles(attachedWhileLimited));

test('a statement and a limit_table() over the same subjects do not meet crosswise', () =>
  runOnFiles(countedCrosswise));

test('statements over the same subjects in opposite order do not deadlock', () =>
  runOnFiles(crosswise));

test('users are deleted with their rows in lock order, whatever order the users stand in', () =>
  runOnFiles(async (race) => {
    const { owner } = race;
    const [one, other] = await Promise.all([race.server(), race.server()]);
    await owner.query(`
      create table public.users (id text primary key, team text);
      alter table public.files add foreign key (user_id) references public.users on delete cascade;
      grant all on public.users to service_role;
      insert into public.users values ('zed', 'red'), ('amy', 'red'), ('bea', 'blue')`);
    await insertRows(owner, 'zed', 'amy', 'amy', 'bea');
    const consume = (subject: string) =>
      one.query(`select public.consume_usage('kb_file', 1, $1)`, [subject]);

    await one.query('begin');
    await consume('amy');
    const deleting = await queryBlocked(race, other, `delete from public.users where team = 'red'`);
    await consume('zed'); // the cascade, which waits for amy, does not hold it
    await one.query('rollback');
    await deleting.result;
    expect(await linesOf(owner, 'amy')).toEqual([2, -2]);
    expect(await countsOf(owner, 'zed')).toEqual({ gauge: 0, rows: 0 });
    expect(await countsOf(owner, 'bea')).toEqual({ gauge: 1, rows: 1 });
  }));

test('a limit that is lowered while a writer waits binds it', () =>
  runOnFiles(async (race) => {
    const [admin, writer] = await Promise.all([race.server(), race.server()]);
    await insertRows(writer, 'ada', 'ada', 'ada');
    await admin.query('begin');
    await admin.query(`select public.set_plan('ada', 'small')`);
    const writing = await queryBlocked(race, writer, INSERT, [['ada']]);
    await admin.query('commit');
    expect(await outcomeOf(writing.result)).toBe('PT402');
    expect(await countsOf(admin, 'ada')).toEqual({ gauge: 3, rows: 3 });
  }));

test('an invitation becomes a seat while ten others wait for its place', () =>
  runOnFiles(async (race) => {
    const [host, ...others] = await Promise.all(Array.from({ length: 11 }, race.server));
    if (!host) throw new Error('no session');
    await insertRows(host, ...Array(LIMIT - 1).fill('acme'));
    const { reservation_id } = await decisionOf(host, {
      sql: `select to_jsonb(d) as decision from public.reserve_usage('kb_file', 1, 'acme') as d`,
      values: [],
    });
    expect(await outcomeOf(insertRows(others[0] as pg.Client, 'acme'))).toBe('PT402');

    await host.query('begin');
    await host.query('select public.release_usage($1)', [reservation_id]);
    const waiting = [];
    for (const other of others) waiting.push(await queryBlocked(race, other, INSERT, [['acme']]));
    await insertRows(host, 'acme');
    await host.query('commit');

    const outcomes = await Promise.all(waiting.map(({ result }) => outcomeOf(result, '55P03')));
    expect(outcomes).not.toContain('ok');
    expect(await countsOf(host, 'acme')).toEqual({ gauge: LIMIT, rows: LIMIT });
  }));

test.for([
  { name: 'inserts into an empty table', end: 'commit', outcome: 'ok', rows: 1 },
  {
    name: 'which is rolled back finds the table full',
    end: 'rollback',
    outcome: 'PT402',
    rows: LIMIT,
  },
])('a writer that waits for a truncate $name', ({ end, outcome, rows }) =>
  runOnFiles(async (race) => {
    const [server, writer] = await Promise.all([race.server(), race.server()]);
    await insertRows(server, ...Array(LIMIT).fill('ada'));
    await server.query('begin');
    await server.query('truncate public.files');
    const writing = await queryBlocked(race, writer, INSERT, [['ada']]);
    await server.query(end);
    expect(await outcomeOf(writing.result)).toBe(outcome);
    expect(await countsOf(server, 'ada')).toEqual({ gauge: rows, rows });
  }),
);

test('a writer that waits for the row of its subject gives up with 55P03, and has written nothing', () =>
  runOnFiles(async ({ server }) => {
    const [holder, writer] = await Promise.all([server(), server()]);
    await holder.query('begin');
    await insertRows(holder, 'ada');
    expect(await outcomeOf(insertRows(writer, 'ada'), '55P03')).toBe('55P03');
    await holder.query('commit');
    expect(await countsOf(holder, 'ada')).toEqual({ gauge: 1, rows: 1 });
  }));

test('limit_table gives up on a table that is being written with 55P03, and writers go on', () =>
  runOnFiles(async ({ database, server }) => {
    const [dba, writer] = await Promise.all([database.connect(), server()]);
    await writer.query('begin');
    await insertRows(writer, 'ada');
    const limiting = dba.query(`select quota.limit_table('public.files', 'seat', 'user_id')`);
    expect(await outcomeOf(limiting, '55P03')).toBe('55P03');
    await insertRows(writer, 'ada');
    await writer.query('commit');
  }));

describe.each(['repeatable read', 'serializable'])('at %s', (level) => {
  test('writers at the last row are exact, or told to try again', () =>
    runOnFiles(async ({ database, owner }) => {
      const sessions = await Promise.all(Array.from({ length: 8 }, () => database.connect()));
      const outcomes = await Promise.all(
        sessions.map(async (client) => {
          await client.query(`set default_transaction_isolation = '${level}'`);
          const outcomes = [];
          for (let n = 0; n < 6; n++) {
            outcomes.push(await outcomeOf(insertRows(client, 'ada'), '40001', '55P03'));
          }
          return outcomes;
        }),
      );
      const { gauge, rows } = await countsOf(owner, 'ada');
      expect(rows).toBe(outcomes.flat().filter((outcome) => outcome === 'ok').length);
      expect(gauge).toBe(rows);
      expect(rows).toBeLessThanOrEqual(LIMIT);
    }));

  test('a table is not counted by a snapshot that may be older than the lock', () =>
    runOnFiles(async ({ owner }) => {
      await owner.query(`begin isolation level ${level}`);
      const limiting = owner.query(`select quota.limit_table('public.files', 'seat', 'user_id')`);
      expect(await outcomeOf(limiting, '25001')).toBe('25001');
      await owner.query('rollback');
    }));
});
