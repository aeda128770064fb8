// Members of an organisation share one allowance, as the real role; who is one is asked at each call.
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { asUser } from '../support/session.ts';
import { calls, decisionOf, outcomeOf, startBlocked } from './holds.ts';
import { check, queryBlocked, type Race, run } from './race.ts';

const ADD = 'select public.add_member($1, $2)';
const REMOVE = 'select public.remove_member($1, $2)';
const USE = calls.consume({ subject: 'acme' });

/** A session as PostgREST has it: the login role, which becomes a user for one transaction. */
const member = async ({ database }: Race) => database.connect();

/** The rest of the open transaction is the user's. */
async function beginAs(client: pg.Client, user: string) {
  await client.query('begin');
  await asUser(client, user);
}

test('of forty calls of four members for the last ten units, ten are allowed, whoever makes them', () =>
  run(async (race) => {
    const { owner } = race;
    const members = ['ada', 'bob', 'cyd', 'dan'];
    for (const name of members) await owner.query(ADD, ['acme', name]);
    await decisionOf(owner, calls.consume({ subject: 'acme', amount: 40 }));
    const told = await Promise.all(
      members.map(async (name) => {
        const session = await member(race);
        const answers = [];
        for (let n = 0; n < 10; n++) {
          answers.push(await asUser(session, name, (client) => decisionOf(client, USE)));
        }
        return answers.filter(({ allowed }) => allowed).length;
      }),
    );
    expect(told.reduce((sum, n) => sum + n, 0)).toBe(10);
    expect(await check(owner, 'acme')).toMatchObject({ used: 50, remaining: 0 });
    const { rows } = await owner.query(
      `select actor, count(*)::integer as n from public.usage_events
       where subject = 'acme' and actor is not null and kind = 'consume' group by actor order by actor`,
    );
    const used = Object.fromEntries(rows.map(({ actor, n }) => [actor, n]));
    expect(members.map((name) => used[name] ?? 0)).toEqual(told);
  }));

test("a member's own use waits for nobody of its organisation", () =>
  run(async (race) => {
    await race.owner.query(ADD, ['acme', 'ada']);
    const [holder, ada] = await Promise.all([race.server(), member(race)]);
    await holder.query('begin');
    await decisionOf(holder, USE);
    const own = calls.consume({ subject: 'ada', amount: 3 });
    const answer = await asUser(ada, 'ada', (client) => decisionOf(client, own));
    expect(answer).toMatchObject({ subject: 'ada', used: 3, remaining: 47 });
    await holder.query('rollback');
  }));

describe('a member that is removed', () => {
  test('before its call began is refused with 42501, and the others go on', () =>
    run(async (race) => {
      for (const name of ['ada', 'bob']) await race.owner.query(ADD, ['acme', name]);
      await race.owner.query(REMOVE, ['acme', 'ada']);
      const session = await member(race);
      const call = asUser(session, 'ada', (client) => decisionOf(client, USE));
      expect(await outcomeOf(call)).toBe('42501');
      const other = await asUser(session, 'bob', (client) => decisionOf(client, USE));
      expect(other).toMatchObject({ allowed: true, used: 1 });
    }));

  test('while its call waits has made it as a member: it counts', () =>
    run(async (race) => {
      await race.owner.query(ADD, ['acme', 'ada']);
      const [holder, ada, admin] = await Promise.all([race.server(), member(race), race.server()]);
      await decisionOf(holder, USE);
      await holder.query('begin');
      await decisionOf(holder, USE);
      await beginAs(ada, 'ada');
      const { answer } = await startBlocked(race, ada, USE);
      await admin.query(REMOVE, ['acme', 'ada']);
      await holder.query('commit');
      expect(await answer).toMatchObject({ allowed: true, used: 3 });
      expect(await outcomeOf(decisionOf(ada, USE))).toBe('42501');
      await ada.query('rollback');
    }));

  test('in a transaction that is rolled back is still one', () =>
    run(async (race) => {
      await race.owner.query(ADD, ['acme', 'ada']);
      const [admin, ada] = await Promise.all([race.server(), member(race)]);
      await admin.query('begin');
      await admin.query(REMOVE, ['acme', 'ada']);
      await admin.query('rollback');
      const answer = await asUser(ada, 'ada', (client) => decisionOf(client, USE));
      expect(answer).toMatchObject({ allowed: true, used: 1 });
    }));
});

test('somebody who is made a member is one when that is committed, and not before', () =>
  run(async (race) => {
    const [admin, ada] = await Promise.all([race.server(), member(race)]);
    const use = () => outcomeOf(asUser(ada, 'ada', (client) => decisionOf(client, USE)));
    await admin.query('begin');
    await admin.query(ADD, ['acme', 'ada']);
    expect(await use()).toBe('42501');
    await admin.query('commit');
    expect(await use()).toMatchObject({ allowed: true, used: 1 });
  }));

test('of two that make one user a member at once, both succeed, with one line in the ledger', () =>
  run(async (race) => {
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await one.query('begin');
    await one.query(ADD, ['acme', 'ada']);
    const { result } = await queryBlocked(race, two, ADD, ['acme', 'ada']);
    await one.query('commit');
    await result;
    const { rows } = await race.owner.query(`select kind from public.usage_events`);
    expect(rows).toEqual([{ kind: 'member' }]);
  }));

test('add_member does not wait for the calls of the organisation, nor they for it', () =>
  run(async (race) => {
    const [holder, admin, other] = await Promise.all([race.server(), race.server(), race.server()]);
    await decisionOf(holder, USE);
    await holder.query('begin');
    await decisionOf(holder, USE);
    await admin.query('begin');
    await admin.query(ADD, ['acme', 'ada']);
    await holder.query('commit');
    expect(await decisionOf(other, USE)).toMatchObject({ used: 3 });
    await admin.query('commit');
  }));

test('an app with a membership table of its own: a row added or removed holds at once', () =>
  run(async (race) => {
    const { owner } = race;
    await owner.query(`
      create table public.staff (company text, person text, primary key (company, person));
      create or replace function quota.acts_for(p_user_id text, p_subject_id text)
      returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp
      as $$ begin
        return exists (
          select from public.staff as s where s.company = p_subject_id and s.person = p_user_id
        );
      end $$;
      create or replace function quota.subjects_of(p_user_id text)
      returns setof text language plpgsql stable rows 3 security definer
      set search_path = pg_catalog, pg_temp
      as $$ begin
        return query
          select p_user_id where p_user_id is not null
          union select s.company from public.staff as s where s.person = p_user_id;
      end $$;`);
    const session = await member(race);
    const seen = () =>
      asUser(session, 'ada', async (client) => {
        const { rows } = await client.query(
          `select distinct subject from public.current_usage order by subject`,
        );
        return rows.map(({ subject }) => subject);
      });
    const use = () => outcomeOf(asUser(session, 'ada', (client) => decisionOf(client, USE)));

    expect(await use()).toBe('42501');
    expect(await seen()).toEqual(['ada']);
    await owner.query(`insert into public.staff values ('acme', 'ada')`);
    expect(await use()).toMatchObject({ allowed: true, subject: 'acme', used: 1 });
    expect(await seen()).toEqual(['acme', 'ada']);
    await owner.query('delete from public.staff');
    expect(await use()).toBe('42501');
    expect(await seen()).toEqual(['ada']);
  }));
