// Many plain calls of one meter queue before its row: only the first of them waits at it.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { queryBlocked, type Race, run } from './race.ts';

// Without parameters: begin and call come in one message.
const consumed = (subject: string, amount = 1) =>
  `select allowed, used::integer from public.consume_usage('ai_generation', ${amount}, '${subject}')`;

const waits = async ({ owner }: Race) => {
  const { rows } = await owner.query<{ locktype: string }>(
    `select locktype from pg_locks
     where not granted and pid in (select pid from pg_stat_activity where datname = current_database())
     order by 1`,
  );
  return rows.map(({ locktype }) => locktype);
};

const placesOf = async (client: pg.Client) => {
  const { rows } = await client.query(
    `select count(*)::integer as n from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`,
  );
  return rows[0].n;
};

test('of three that come while the row is held one waits at it, and two for that one', () =>
  run(async (race) => {
    const [holder, ...others] = await Promise.all([
      race.server(),
      race.server(),
      race.server(),
      race.server(),
    ]);
    await holder.query(consumed('hot', 47));
    await holder.query('begin');
    await holder.query('select pg_sleep(0.01)');
    await holder.query(consumed('hot'));
    const answers = [];
    for (const other of others) {
      answers.push((await queryBlocked(race, other, consumed('hot'))).result);
    }
    expect(await waits(race)).toEqual(['advisory', 'advisory', 'transactionid']);
    await holder.query('commit');
    const told = await Promise.all(answers);
    expect(told.map(({ rows }) => rows[0])).toEqual([
      { allowed: true, used: 49 },
      { allowed: true, used: 50 },
      { allowed: false, used: 50 },
    ]);
  }));

test('calls of two teams queue for what their organisation has left', () =>
  run(async (race) => {
    const { owner } = race;
    for (const team of ['red', 'blue']) {
      await owner.query(`select public.set_parent($1, 'acme')`, [team]);
    }
    const [holder, red, blue] = await Promise.all([race.server(), race.server(), race.server()]);
    for (const subject of ['acme', 'red', 'blue', 'red', 'blue']) {
      await holder.query(consumed(subject));
    }
    await holder.query('begin');
    await holder.query('select pg_sleep(0.01)');
    await holder.query(consumed('acme'));
    const first = await queryBlocked(race, red, consumed('red'));
    const second = await queryBlocked(race, blue, consumed('blue'));
    expect(await waits(race)).toEqual(['advisory', 'transactionid']);
    await holder.query('commit');
    expect((await first.result).rows).toEqual([{ allowed: true, used: 7 }]);
    expect((await second.result).rows).toEqual([{ allowed: true, used: 8 }]);
  }));

test('nobody waits for a transaction that goes on: no call in it takes a place', () =>
  run(async (race) => {
    const server = await race.server();
    await server.query(consumed('ada', 50));
    await server.query('begin');
    await server.query('select pg_sleep(0.01)');
    expect((await server.query(consumed('ada'))).rows).toEqual([{ allowed: false, used: 50 }]);
    expect(await placesOf(server)).toBe(0);
    // PostgREST begins a transaction for each request, and ends it with the call.
    await server.query(`select set_config('request.method', 'POST', true)`);
    expect((await server.query(consumed('ada'))).rows).toEqual([{ allowed: false, used: 50 }]);
    expect(await placesOf(server)).toBe(1);
    await server.query('rollback');
    expect(await placesOf(server)).toBe(0);
    // Who has written may hold what others need.
    await server.query('begin');
    await server.query('create temporary table of_mine ()');
    await server.query(`select set_config('request.method', 'POST', true)`);
    await server.query(consumed('ada'));
    expect(await placesOf(server)).toBe(0);
    await server.query('rollback');
  }));

test('of many calls at once none queues but those of one feature, so they cannot wait crosswise', () =>
  run(async (race) => {
    const server = await race.server();
    const places = async (...features: string[]) => {
      await server.query('begin');
      await server.query(`select set_config('request.method', 'POST', true)`);
      const calls = JSON.stringify(features.map((feature) => ({ feature })));
      const { rows } = await server.query(
        `select bool_and(allowed) as allowed from public.consume_usage_many('${calls}', 'ada')`,
      );
      expect(rows).toEqual([{ allowed: true }]);
      const places = await placesOf(server);
      await server.query('commit');
      return places;
    };
    expect(await places('ai_generation', 'export')).toBe(0);
    expect(await places('ai_generation', 'ai_generation')).toBe(1);
  }));
