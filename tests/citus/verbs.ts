/** Every verb once, in turn through each node; at the end the ledger proves every number. */
import assert from 'node:assert/strict';
import pg from 'pg';
import type { Spread } from './nodes.ts';
import { check } from './report.ts';

export async function checkVerbs(spread: Spread): Promise<void> {
  const clients = await Promise.all(
    [spread.url, ...spread.workers].map(async (node) => {
      const client = new pg.Client(node);
      await client.connect();
      await client.query('set role service_role');
      return client;
    }),
  );
  const [coordinator] = clients as [pg.Client];
  let turn = 0;
  /** The first row of a call; its only column, where there is one. */
  const ask = async (call: string, ...values: unknown[]) => {
    const client = clients[turn++ % clients.length] as pg.Client;
    const { rows, fields } = await client.query(`select * from public.${call}`, values);
    return fields.length === 1 ? rows[0]?.[fields[0]?.name as string] : rows[0];
  };
  const used = async (answer: Promise<{ used: string; allowed: boolean }>) => {
    const { allowed, used } = await answer;
    assert.equal(allowed, true);
    return Number(used);
  };

  await check('consume, with a key and again', async () => {
    assert.equal(await used(ask(`consume_usage('chat', 6, 'ada', 'key')`)), 6);
    const again = await ask(`consume_usage('chat', 6, 'ada', 'key')`);
    assert.deepEqual([again.used, again.replayed], ['6', true]);
    await assert.rejects(ask(`consume_usage('chat', 5, 'ada', 'key')`), { code: 'QIDEM' });
    const refused = await ask(`consume_usage('chat', 51, 'ada')`);
    assert.equal(refused.reason, 'limit_reached');
    await assert.rejects(ask(`consume_usage('nothing', 1, 'ada')`), { code: 'QFEAT' });
    await assert.rejects(ask(`enforce_usage('chat', 51, 'ada')`), { code: 'PT402' });
    return undefined;
  });
  await check('reserve, extend, commit, release', async () => {
    const { reservation_id: first } = await ask(`reserve_usage('chat', 3, 'ada')`);
    await ask(`extend_usage($1, '20 minutes', 'ada')`, first);
    assert.equal(await used(ask(`commit_usage($1, 2, 'ada')`, first)), 8);
    assert.equal((await ask(`commit_usage($1, 2, 'ada')`, first)).replayed, true);
    const { reservation_id: second } = await ask(`reserve_usage('chat', 2, 'ada')`);
    assert.equal(await used(ask('release_usage($1)', second)), 8);
    await assert.rejects(ask(`commit_usage($1, 1, 'bob')`, second), { code: 'QRSRV' });
    return undefined;
  });
  await check('refund, told the subject and not', async () => {
    const { event_id: first } = await ask(`consume_usage('chat', 2, 'ada')`);
    assert.equal(await used(ask(`refund_usage($1, 1, null, null, 'ada')`, first)), 9);
    assert.equal(await used(ask('refund_usage($1)', first)), 8);
    await assert.rejects(ask(`refund_usage($1, 1, null, null, 'bob')`, first), { code: 'QRSRV' });
    return undefined;
  });
  await check('costs, a batch, a gauge, a window', async () => {
    assert.equal(await used(ask(`consume_usage('token', 11, 'ada')`)), 2);
    const { reservation_id: hold } = await ask(`reserve_usage('token', 25, 'ada')`);
    assert.equal(await used(ask(`commit_usage($1, 10, 'ada')`, hold)), 3);
    const { value, used: paid } = await ask(`usage_breakdown('credit', 'feature', 'ada')`);
    assert.deepEqual([value, paid], ['token', '3']);
    await ask(
      `consume_usage_batch('[{"feature": "job", "amount": 2}, {"feature": "chat"}]', 'ada')`,
    );
    assert.equal(await used(ask(`check_usage('job', 1, 'ada')`)), 2);
    assert.equal(await used(ask(`consume_usage('file', 2, 'ada')`)), 2);
    assert.equal(await used(ask(`return_usage('file', 1, 'ada')`)), 1);
    assert.equal((await ask(`consume_usage('window', 2, 'ada')`)).period, '5 hours');
    assert.equal((await ask(`consume_usage('window', 2, 'ada')`)).allowed, false);
    return undefined;
  });
  await check('grants, exceptions, plans, values', async () => {
    const grant = await ask(`grant_usage('job', 100, 'ada')`);
    const { granted } = await ask(`consume_usage('job', 20, 'ada')`);
    assert.equal(granted, '88');
    assert.equal(await ask(`void_grant($1, 'ada')`, grant), '88');
    await ask(`set_limit('ada', 'job', 'day', 30)`);
    assert.equal((await ask(`check_usage('job', 1, 'ada')`)).limit, '42');
    await ask(`clear_limit('ada', 'job', 'day')`);
    await ask(`set_plan('bob', 'pro')`);
    assert.equal((await ask(`check_usage('chat', 1000, 'bob')`)).unlimited, true);
    await ask(`set_plan('ada', 'free', now() - interval '3 days', 'Europe/Berlin')`);
    assert.equal(await used(ask(`consume_usage('chat', 1, 'ada')`)), 10);
    await ask(`set_value('ada', 'sso', 'false')`);
    assert.equal((await ask(`check_usage('sso', 1, 'ada')`)).allowed, false);
    return undefined;
  });
  await check('a fresh start, explain, breakdown', async () => {
    assert.equal(await used(ask(`reset_usage('chat', 'ada')`)), 0);
    assert.equal((await ask(`explain_usage('chat', 1, 'ada')`)).used, '0');
    await ask(`consume_usage('chat', 4, 'ada')`);
    assert.equal((await ask(`usage_breakdown('chat', 'actor', 'ada')`)).used, '4');
    return undefined;
  });
  await check('members and levels', async () => {
    await ask(`add_member('house', 'ada')`);
    assert.equal(await used(ask(`consume_usage('chat', 1, 'house', null, '{}', 'ada')`)), 1);
    await ask(`set_parent('room', 'house')`);
    const below = await ask(`consume_usage('chat', 2, 'room')`);
    assert.deepEqual([below.limiting_subject, below.used], ['house', '3']);
    await ask(`remove_member('house', 'ada')`);
    await ask(`set_parent('room', null)`);
    return undefined;
  });
  await check('a cap of a member counts what it has used before, and binds it alone', async () => {
    await ask(`add_member('crew', 'one')`);
    const use = (member: string) =>
      ask(`consume_usage('chat', 2, 'crew', null, '{}', '${member}')`);
    assert.equal(await used(use('one')), 2);
    await ask(`set_limit('crew', 'chat', 'month', 5, member => 'one')`);
    assert.equal(await used(use('one')), 4);
    const { allowed, limiting_member: by } = await use('one');
    assert.deepEqual([allowed, by], [false, 'one']);
    assert.equal(await used(use('two')), 6);
    return undefined;
  });
  await check('alerts are handed out, and not again once acknowledged', async () => {
    const { rows } = await coordinator.query('select alert_id from public.deliver_alerts(20)');
    assert.equal(rows.length, 20);
    const { rows: next } = await coordinator.query(
      'select alert_id from public.deliver_alerts(20)',
    );
    const ids = rows.map((row) => row.alert_id);
    assert.ok(!next.some((row) => ids.includes(row.alert_id)));
    assert.equal(await ask('acknowledge_alerts($1)', ids), '20');
    assert.equal(await ask('acknowledge_alerts($1)', ids), '0');
    return undefined;
  });
  await check('a subject is forgotten on every node', async () => {
    assert.ok(Number(await ask(`forget_subject('ada')`)) > 20);
    const { rows } = await coordinator.query(
      `select from public.usage_events where subject = 'ada'`,
    );
    assert.equal(rows.length, 0);
    return undefined;
  });
  await check('verify_usage() finds no difference', async () => {
    const { rows } = await coordinator.query('select * from public.verify_usage()');
    assert.deepEqual(rows, []);
    return undefined;
  });
  await coordinator.query('reset role');
  await check('use of before is brought in, once, and counts where it was', async () => {
    const rows = JSON.stringify(
      [3, 5, 7].map((amount, n) => ({
        subject: `before-${n}`,
        feature: 'chat',
        amount,
        period_start: new Date(Date.UTC(2026, 0, 20)).toISOString(),
      })),
    );
    const actions = async () =>
      (await coordinator.query('select action from quota.import_usage($1)', [rows])).rows.map(
        ({ action }) => action,
      );
    assert.deepEqual(await actions(), ['import', 'import', 'import']);
    assert.deepEqual(await actions(), ['skip', 'skip', 'skip']);
    const { rows: shown } = await coordinator.query(
      `select used from public.usage_history where subject like 'before-%' order by subject`,
    );
    assert.deepEqual(
      shown.map(({ used }) => used),
      ['3', '5', '7'],
    );
    return undefined;
  });
  await check(
    'old lines are folded, on the node of their subject, and no number changes',
    async () => {
      const sums = `select subject, sum(used_change)::int as used, count(*)::int as lines from public.usage_events
      where subject like 'folded-%' and feature = 'chat' group by 1 order by 1`;
      const { rows: clock } = await coordinator.query(
        `select prosrc from pg_proc where oid = 'quota.clock'::regproc`,
      );
      const setClock = (body: string) =>
        coordinator.query(
          `create or replace function quota.clock() returns timestamptz language plpgsql
         set search_path = pg_catalog, pg_temp as $$${body}$$`,
        );
      await setClock(`begin return clock_timestamp() - interval '70 days'; end`);
      for (let n = 0; n < 12; n += 1) {
        await coordinator.query(`select public.consume_usage('chat', 2, 'folded-${n % 3}')`);
      }
      await setClock(clock[0].prosrc);
      const folded = await coordinator.query(`select quota.tidy('1 day')::int as lines`);
      assert.ok(folded.rows[0].lines >= 12, `${folded.rows[0].lines}`);
      assert.equal((await coordinator.query(`select quota.tidy('1 day')::int as n`)).rows[0].n, 0);
      const { rows } = await coordinator.query(sums);
      assert.deepEqual(
        rows.map(({ used, lines }) => [used, lines]),
        [0, 1, 2].map(() => [8, 1]),
      );
      return `${folded.rows[0].lines} lines`;
    },
  );
  await check('what does not work there is refused, and changes nothing', async () => {
    await coordinator.query('set role service_role');
    await assert.rejects(coordinator.query(`select public.merge_subjects('bob', 'house')`), {
      code: '0A000',
    });
    await coordinator.query('reset role');
    const { rows } = await coordinator.query('select * from public.verify_usage()');
    assert.deepEqual(rows, []);
    return 'merge_subjects';
  });
  await Promise.all(clients.map((client) => client.end()));
}
