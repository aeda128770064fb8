/** Many callers on several nodes, and what a call costs there. */
import assert from 'node:assert/strict';
import pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import { measure } from './measure.ts';
import type { Spread } from './nodes.ts';
import { check } from './report.ts';

async function sessions(nodes: string[], count: number): Promise<pg.Client[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const client = new pg.Client(nodes[index % nodes.length] as string);
      await client.connect();
      await client.query('set role service_role');
      return client;
    }),
  );
}

const verify = (spread: Spread) =>
  withClient(spread.url, async (client) => {
    await client.query('set role service_role');
    return (await client.query('select * from public.verify_usage()')).rows;
  });

export async function checkRace(spread: Spread): Promise<void> {
  const nodes = spread.workers;
  const callers = await sessions(nodes, 16);
  const call = async (client: pg.Client, feature: string, subject: string) =>
    (await client.query('select * from public.consume_usage($1, 1, $2)', [feature, subject]))
      .rows[0];

  await check(
    '16 callers through the workers, 192 calls at one limit of 100: 100 are allowed',
    async () => {
      const answers = await Promise.all(
        callers.map(async (client) => {
          let allowed = 0;
          for (let n = 0; n < 12; n += 1)
            if ((await call(client, 'race', 'racer')).allowed) allowed += 1;
          return allowed;
        }),
      );
      assert.equal(
        answers.reduce((sum, one) => sum + one),
        100,
      );
      const { rows } = await withClient(spread.url, (client) =>
        client.query(`
        select (select used::int from quota.meters where subject_id = 'racer' and feature_id = 'race') as used,
          (select count(*)::int from quota.events where subject_id = 'racer' and kind = 'consume') as lines`),
      );
      assert.deepEqual(rows[0], { used: 100, lines: 100 });
      assert.deepEqual(await verify(spread), []);
      return `${nodes.length} nodes`;
    },
  );

  await check('first uses of different subjects do not wait for each other', async () => {
    await Promise.all(callers.flatMap((client, index) => [call(client, 'chat', `first-${index}`)]));
    await Promise.all(callers.map((client, index) => call(client, 'token', `first-${index}`)));
    return undefined;
  });

  await check(
    'teams of one organisation, called on several nodes, take from one allowance',
    async () => {
      await withClient(spread.url, async (client) => {
        await client.query('set role service_role');
        for (let n = 0; n < 4; n += 1)
          await client.query(`select public.set_parent('team-${n}', 'above')`);
      });
      let allowed = 0;
      let busy = 0;
      await Promise.all(
        callers.map(async (client, index) => {
          for (let n = 0; n < 10; n += 1) {
            try {
              if ((await call(client, 'race', `team-${index % 4}`)).allowed) allowed += 1;
            } catch (error) {
              if (!['55P03', '40P01'].includes((error as pg.DatabaseError).code ?? '')) throw error;
              busy += 1;
            }
          }
        }),
      );
      const { rows } = await withClient(spread.url, (client) =>
        client.query(
          `select used::int from quota.meters where subject_id = 'above' and feature_id = 'race'`,
        ),
      );
      assert.equal(rows[0].used, allowed);
      assert.ok(allowed <= 100);
      if (busy === 0) assert.equal(allowed, 100);
      assert.deepEqual(await verify(spread), []);
      return `${allowed} allowed, ${busy} of 160 told to call again`;
    },
  );

  await check(
    'a wait for a row on another node ends after about two seconds, with 55P03',
    async () => {
      const [holder, waiter] = callers as [pg.Client, pg.Client];
      await holder.query('begin');
      await call(holder, 'chat', 'held');
      const start = Date.now();
      await assert.rejects(call(waiter, 'chat', 'held'), { code: '55P03' });
      const seconds = (Date.now() - start) / 1000;
      await holder.query('rollback');
      assert.ok(seconds < 5, `${seconds} s`);
      return `${seconds.toFixed(1)} s`;
    },
  );

  await check(
    'a session that writes dates the other way round counts in the same month',
    async () => {
      const [client] = callers as [pg.Client];
      await client.query(`set datestyle = 'SQL, DMY'`);
      await call(client, 'chat', 'dated');
      await call(client, 'chat', 'dated');
      await client.query('reset datestyle');
      assert.deepEqual(await verify(spread), []);
      const { rows } = await withClient(spread.url, (admin) =>
        admin.query(`
        select extract(epoch from now() - counts_at)::float as age from quota.events where subject_id = 'dated'`),
      );
      for (const { age } of rows) assert.ok(Math.abs(age) < 600, `a line of ${age} s ago`);
      return undefined;
    },
  );
  await Promise.all(callers.map((client) => client.end()));
  await measure(spread, 'spread');
}
