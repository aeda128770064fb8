/** Whether all is well, and of what is not the statement that mends it. Nothing here changes anything. */
import type { Query } from './database.ts';
import type { Spot, Verification } from './shapes.ts';

export const readInstallation = (query: Query) =>
  query<{ object: string; problem: string; statement: string | null }>(
    'select object, problem, statement from public.verify_installation()',
  );

/** What quota.tidy() says it removes, counted. */
export const readTidy = (query: Query) =>
  query<{ what: string; rows: number }>(
    `with moment as materialized (select quota.clock() as at)
     select 'idempotency keys, 31 days after they were bound' as what, count(*) as rows
     from quota.keys as k, moment as m
     where k.bound_at < m.at - interval '31 days' and k.arguments ->> 'call' <> 'import_usage'
     union all
     select 'reservations that ended, 31 days after they expired', count(*)
     from quota.reservations as r, moment as m
     where r.state in ('committed', 'released', 'expired') and r.expires_at < m.at - interval '31 days'
     union all
     select 'alerts that were acknowledged, 31 days after', count(*)
     from quota.alerts as a, moment as m
     where a.acknowledged_at < m.at - interval '31 days'
     union all
     select 'exceptions that ended long ago', count(*)
     from quota.exceptions as x, moment as m
     where x.ends_at < m.at - case x.period
       when 'year' then interval '732 days'
       when 'month' then interval '62 days'
       else interval '31 days'
     end
     union all
     select 'overrides of switches and values, 31 days after their end', count(*)
     from quota.overrides as o, moment as m
     where o.ends_at < m.at - interval '31 days'`,
  );

/** Minutes that a snapshot may be held before it is worth a word: no dead row after it can be reused. */
const OLD = 5;

export async function readSpots(query: Query): Promise<Spot[]> {
  return [
    ...(await brokenIndexes(query)),
    ...(await oldSnapshots(query)),
    ...(await slots(query)),
    ...(await deadRows(query)),
    ...(await coldUpdates(query)),
    ...(await neverAnalyzed(query)),
  ];
}

const brokenIndexes = (query: Query) =>
  query<Spot>(
    `select 'wrong' as level, format('index %s is not valid', i.indexrelid::regclass) as what,
       'a build of it broke off: it is kept up to date and serves no query' as why,
       format('reindex index concurrently %s;', i.indexrelid::regclass) as statement
     from pg_index as i
     join pg_class as c on c.oid = i.indrelid
     where c.relnamespace = 'quota'::regnamespace and not (i.indisvalid and i.indisready)`,
  );

const oldSnapshots = (query: Query) =>
  query<Spot>(
    `select 'wrong' as level,
       format('session %s (%s) is in a transaction since %s', a.pid,
         concat_ws(', ', a.usename, nullif(a.application_name, ''), a.state),
         date_trunc('second', clock_timestamp() - a.xact_start)) as what,
       'rows that are updated or deleted since cannot be reused: meters are updated with each call, and grow'
         as why,
       format('select pg_terminate_backend(%s);', a.pid) as statement
     from pg_stat_activity as a
     where a.datname = current_database()
       and a.pid <> pg_backend_pid()
       and a.backend_type = 'client backend'
       and (a.backend_xmin is not null or a.backend_xid is not null or a.state like 'idle in%')
       and a.xact_start < clock_timestamp() - interval '${OLD} minutes'
     union all
     select 'wrong', format('prepared transaction %s is open since %s', p.gid,
         date_trunc('second', clock_timestamp() - p.prepared)),
       'it holds its locks, and rows that are updated since cannot be reused',
       format('rollback prepared %L;', p.gid)
     from pg_prepared_xacts as p
     where p.database = current_database() and p.prepared < clock_timestamp() - interval '${OLD} minutes'`,
  );

const slots = (query: Query) =>
  query<Spot>(
    `select 'note' as level,
       format('replication slot %s holds rows of %s transactions', s.slot_name,
         greatest(age(s.xmin), age(s.catalog_xmin))) as what,
       case when s.active then 'its replica is behind' else 'nobody reads it' end as why,
       case when not s.active then format('select pg_drop_replication_slot(%L);', s.slot_name) end as statement
     from pg_replication_slots as s
     where greatest(age(s.xmin), age(s.catalog_xmin)) > 1000000`,
  );

const deadRows = (query: Query) =>
  query<Spot>(
    `select 'note' as level,
       format('%s: %s dead rows beside %s', s.relid::regclass, s.n_dead_tup, s.n_live_tup) as what,
       coalesce('last vacuumed ' || to_char(greatest(s.last_vacuum, s.last_autovacuum), 'YYYY-MM-DD HH24:MI') || ' UTC',
         'never vacuumed') as why,
       format('vacuum (analyze) %s;', s.relid::regclass) as statement
     from pg_stat_user_tables as s
     where s.schemaname = 'quota' and s.n_dead_tup > 10000 and s.n_dead_tup > s.n_live_tup * 0.2
     order by s.n_dead_tup desc`,
  );

/** Counting is a HOT update, which touches no index, as long as there is room on the page. */
const coldUpdates = (query: Query) =>
  query<Spot>(
    `select 'note' as level,
       format('%s: %s %% of %s updates were HOT', s.relid::regclass,
         s.n_tup_hot_upd * 100 / s.n_tup_upd, s.n_tup_upd) as what,
       'the others wrote to each index too: an old snapshot, or pages without room' as why,
       format('vacuum (analyze) %s;', s.relid::regclass) as statement
     from pg_stat_user_tables as s
     where s.schemaname = 'quota' and s.relname in ('meters', 'counters', 'grants')
       and s.n_tup_upd > 10000 and s.n_tup_hot_upd < s.n_tup_upd * 0.8`,
  );

const neverAnalyzed = (query: Query) =>
  query<Spot>(
    `select 'note' as level, format('%s was never analyzed', s.relid::regclass) as what,
       'the planner guesses how large it is' as why,
       format('analyze %s;', s.relid::regclass) as statement
     from pg_stat_user_tables as s
     where s.schemaname = 'quota' and s.n_live_tup > 10000
       and s.last_analyze is null and s.last_autoanalyze is null`,
  );

/** A ledger up to here is proved at one go, which takes a second or two. */
const AT_ONCE = 200_000;
const PATIENCE = 1_500;

/** The proof, as far as it comes in a while: of a short ledger at once, of a long one by subjects in order. */
export async function verify(query: Query, after: string | null): Promise<Verification> {
  const [{ lines, total }] = (await query(
    `select (
       select greatest(c.reltuples, s.n_live_tup)::bigint
       from pg_class as c join pg_stat_user_tables as s on s.relid = c.oid
       where c.oid = 'quota.events'::regclass
     ) as lines,
     (select count(*) from quota.subjects) as total`,
  )) as [{ lines: number; total: number }];
  if (after === null && lines <= AT_ONCE) {
    const mismatches = await query('select * from public.verify_usage()');
    return { done: total, total, next: null, mismatches };
  }
  const until = performance.now() + PATIENCE;
  const mismatches: Verification['mismatches'] = [];
  const place = after === null ? { done: 0, subject: '' } : JSON.parse(after);
  for (;;) {
    const batch = await query<{ subject: string }>(
      `select subject_id as subject from quota.subjects where subject_id > $1 order by subject_id limit 100`,
      [place.subject],
    );
    if (batch.length === 0) return { done: total, total, next: null, mismatches };
    mismatches.push(
      ...(await query(
        `select m.* from unnest($1::text[]) as s (subject)
         cross join lateral public.verify_usage(s.subject) as m`,
        [batch.map(({ subject }) => subject)],
      )),
    );
    place.done += batch.length;
    place.subject = batch.at(-1)?.subject;
    if (performance.now() > until) {
      return { done: place.done, total, next: JSON.stringify(place), mismatches };
    }
  }
}
