/**
 * The clock of a throwaway database. Everything is decided and counted by `quota.clock()`, and no setting
 * moves it: the function is replaced, for all sessions. The text of the real one is kept in the body of
 * the replacement, so that any later session can put it back.
 */
import type pg from 'pg';

/** One mover at a time: held by the session that moved it. */
const LOCK = `pg_catalog.hashtextextended('pgquota/testing: the clock', 0)`;
const MARK = 'moved by pgquota/testing, in the place of ';

export interface Clock {
  /** Stops it at an instant, and lets it run from there with `runs`. */
  set(instant: Date | string | undefined, runs?: boolean): Promise<Date>;
  /** On by an interval of Postgres, running or stopped as it was. */
  move(by: string): Promise<Date>;
  now(): Promise<Date>;
  /** The real one again, where this session moved it. */
  putBack(): Promise<void>;
}

export async function openClock(client: pg.ClientBase, patience: string): Promise<Clock> {
  let isOurs = false;

  const now = async () => (await client.query('select quota.clock() as at')).rows[0].at as Date;

  const putBack = async () => {
    if (!isOurs) return;
    const { isMoved, definition } = await findOriginal(client);
    if (isMoved) await client.query(definition);
    await client.query(`select pg_catalog.pg_advisory_unlock(${LOCK})`);
    isOurs = false;
  };

  const take = async () => {
    if (isOurs) return;
    await client.query('begin');
    try {
      await client.query(`select pg_catalog.set_config('lock_timeout', $1, true)`, [patience]);
      await client.query(`select pg_catalog.pg_advisory_lock(${LOCK})`);
      await client.query('commit');
      isOurs = true;
    } catch (error) {
      await client.query('rollback');
      if ((error as pg.DatabaseError).code !== '55P03') throw error;
      throw new Error(
        `pgquota/testing: another session has moved the clock of this database, for over ${patience}. Let one test file at a time move it, or give each a database of its own.`,
      );
    }
  };

  /** `value` is SQL. */
  const replace = async (value: string) => {
    await take();
    const { definition } = await findOriginal(client);
    const kept = Buffer.from(definition).toString('base64');
    await client.query(
      `create or replace function quota.clock() returns timestamptz language plpgsql volatile
       set search_path = pg_catalog, pg_temp
       as $clock$ begin /* ${MARK}${kept} */ return ${value}; end $clock$`,
    );
    return now();
  };

  // Left by a run that was killed: its session is gone, and with it the lock.
  const { rows } = await client.query(`select pg_catalog.pg_try_advisory_lock(${LOCK}) as is_free`);
  isOurs = rows[0].is_free;
  if (isOurs) await putBack();

  return {
    now,
    putBack,
    async set(instant, runs = false) {
      const { rows } = await client.query(
        `select pg_catalog.to_char(coalesce($1::timestamptz, quota.clock()) at time zone 'UTC',
             'YYYY-MM-DD HH24:MI:SS.US+00') as at,
           extract(epoch from $1::timestamptz - pg_catalog.clock_timestamp())::text as ahead`,
        [instant instanceof Date ? instant.toISOString() : instant],
      );
      const [{ at, ahead }] = rows;
      return replace(runs ? running(ahead) : `'${at}'::pg_catalog.timestamptz`);
    },
    async move(by) {
      const { isStopped } = await findOriginal(client);
      const { rows } = await client.query(
        `select pg_catalog.to_char(m.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') as at,
           extract(epoch from m.at - pg_catalog.clock_timestamp())::text as ahead
         from (
           select (quota.clock() at time zone 'UTC' + $1::interval) at time zone 'UTC'
         ) as m (at)`,
        [by],
      );
      const [{ at, ahead }] = rows;
      return replace(isStopped ? `'${at}'::pg_catalog.timestamptz` : running(ahead));
    },
  };
}

const running = (seconds: string) =>
  `pg_catalog.clock_timestamp() + '${seconds} seconds'::pg_catalog.interval`;

async function findOriginal(client: pg.ClientBase) {
  const { rows } = await client.query(
    `select p.prosrc as body, pg_catalog.pg_get_functiondef(p.oid) as definition
     from pg_catalog.pg_proc as p
     where p.oid = 'quota.clock()'::pg_catalog.regprocedure`,
  );
  const [{ body, definition }] = rows as [{ body: string; definition: string }];
  const [, kept] = body.match(new RegExp(`${MARK}(\\S+)`)) ?? [];
  return {
    isMoved: kept !== undefined,
    isStopped: kept !== undefined && !body.includes('clock_timestamp()'),
    definition: kept === undefined ? definition : Buffer.from(kept, 'base64').toString(),
  };
}
