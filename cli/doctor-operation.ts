/** Whether it works: a catalogue, zones, the ledger, and nobody who blocks the others. */
import pg from 'pg';
import { curable, type Finding, note, wrong } from './finding.ts';

/** From then on a waiting call fails: twice the lock timeout of the engine, and time to spare. */
const LONG = '10 seconds';
/** verify_usage reads the whole ledger. */
const PATIENCE = '60s';

/** Everything else is asked as the owner of schema quota. */
export async function findUntrusted(client: pg.Client): Promise<Finding[]> {
  const { rows } = await client.query(
    `select current_user as name, nspowner::regrole::text as owner,
       pg_has_role(current_user, nspowner, 'usage') as is_trusted
     from pg_namespace
     where nspname = 'quota'`,
  );
  const [{ name, owner, is_trusted }] = rows;
  if (is_trusted) return [];
  return [
    wrong(
      `${name} may not read what is counted, so nothing was looked at.`,
      `Connect as ${owner}, or as a role that is a member of it.`,
    ),
  ];
}

export async function findInOperation(client: pg.Client): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const find of [findInCatalogue, findInZones, findHolders, findMismatches]) {
    findings.push(...(await attempt(client, find)));
  }
  return findings;
}

/** What is broken elsewhere may stop a look at this; the other looks go on. */
async function attempt(
  client: pg.Client,
  find: (client: pg.Client) => Promise<Finding[]>,
): Promise<Finding[]> {
  await client.query('savepoint look');
  try {
    return await find(client);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    await client.query('rollback to savepoint look');
    return [
      wrong(`A look at catalogue, zones or ledger failed: ${error.message} (${error.code}).`),
    ];
  }
}

async function findInCatalogue(client: pg.Client): Promise<Finding[]> {
  const { rows } = await client.query(
    `select count(*)::integer as plans, coalesce(bool_or(is_default), false) as has_default
     from quota.plans`,
  );
  const [{ plans, has_default }] = rows;
  if (plans === 0) {
    return [wrong('There are no plans: every call is refused.', 'npx pgquota plans plans.json')];
  }
  if (has_default) return [];
  return [
    note(
      'No plan is the default: a subject that was put on none is refused everything.',
      'If that is not meant: "default": true on one plan of the document, and apply it.',
    ),
  ];
}

async function findInZones(client: pg.Client): Promise<Finding[]> {
  const findings: Finding[] = [];
  const { rows: zones } = await client.query(
    `select time_zone, count(*)::integer as subjects, min(subject_id) as example
     from quota.subjects
     where time_zone not in (select name from pg_timezone_names)
     group by time_zone
     order by time_zone`,
  );
  for (const { time_zone, subjects, example } of zones) {
    findings.push(
      wrong(
        `This server does not know the time zone ${time_zone} of ${subjects} ${subjects === 1 ? 'subject' : 'subjects'} (such as ${example}): their calls fail.`,
        `select public.set_plan(subject, plan, time_zone => …) with a name of pg_timezone_names.`,
      ),
    );
  }
  return findings;
}

async function findHolders(client: pg.Client): Promise<Finding[]> {
  const { rows: sessions } = await client.query(
    `select distinct a.pid, a.usename as name, a.application_name as application, a.state,
       date_trunc('second', clock_timestamp() - a.xact_start)::text as age
     from pg_locks as l
     join pg_stat_activity as a on a.pid = l.pid
     where l.relation = 'quota.meters'::regclass
       and l.database = (select oid from pg_database where datname = current_database())
       and l.granted
       and l.mode <> 'AccessShareLock'
       and a.xact_start < clock_timestamp() - $1::interval`,
    [LONG],
  );
  const { rows: prepared } = await client.query(
    `select distinct p.gid, p.owner, date_trunc('second', clock_timestamp() - p.prepared)::text as age
     from pg_prepared_xacts as p
     join pg_locks as l on l.virtualtransaction = '-1/' || p.transaction::text
     where p.database = current_database()
       and l.relation = 'quota.meters'::regclass
       and l.mode <> 'AccessShareLock'
       and p.prepared < clock_timestamp() - $1::interval`,
    [LONG],
  );
  const consequence = 'other calls of the same subjects fail with 55P03';
  return [
    ...sessions.map(({ pid, name, application, state, age }) =>
      wrong(
        `A transaction holds counters for ${age} (session ${pid}, ${state}, user ${name}${application && `, ${application}`}): ${consequence}.`,
        `Commit soon after counting; to end it: select pg_terminate_backend(${pid});`,
      ),
    ),
    ...prepared.map(({ gid, owner, age }) =>
      wrong(
        `A prepared transaction holds counters for ${age} (of ${owner}): ${consequence}.`,
        `rollback prepared '${gid.replaceAll("'", "''")}'; or commit it.`,
      ),
    ),
  ];
}

async function findMismatches(client: pg.Client): Promise<Finding[]> {
  await client.query(`set local statement_timeout = '${PATIENCE}'`);
  try {
    const { rows } = await client.query<Mismatch>(
      `select v.subject, v.feature, v.period, v.counted::text, v.ledger::text,
         v.period = 'lifetime' and v.period_start is null and exists (
           select from quota.limited_tables as t where t.feature_id = v.feature
         ) as is_of_tables
       from public.verify_usage() as v`,
    );
    return [
      ...describeTables(rows, await readRecounts(client, rows)),
      ...describeLedger(rows.filter(({ is_of_tables }) => !is_of_tables)),
    ];
  } catch (error) {
    if ((error as { code?: string }).code !== '57014') throw error;
    return [
      note(
        `verify_usage() was not done after ${PATIENCE}, so the ledger was not compared.`,
        'select * from public.verify_usage(); in a session of your own.',
      ),
    ];
  }
}

interface Mismatch {
  subject: string;
  feature: string;
  period: string;
  counted: string;
  ledger: string;
  is_of_tables: boolean;
}

const describeRows = (rows: Mismatch[]) =>
  rows
    .slice(0, 5)
    .map(
      ({ subject, feature, period, counted, ledger }) =>
        `${subject} ${feature} ${period}: counted ${counted}, the ledger says ${ledger}`,
    )
    .join('\n');

function describeLedger(rows: Mismatch[]): Finding[] {
  if (rows.length === 0) return [];
  return [
    wrong(
      `${rows.length} ${rows.length === 1 ? 'counter is' : 'counters are'} not the sum of the ledger: somebody wrote past the functions.`,
      `select * from public.verify_usage(); begins with\n${describeRows(rows)}`,
    ),
  ];
}

/** The calls that count the rows of limited tables anew, by feature. */
async function readRecounts(client: pg.Client, rows: Mismatch[]): Promise<Map<string, string>> {
  const features = rows.filter((row) => row.is_of_tables).map(({ feature }) => feature);
  const { rows: calls } = await client.query<{ feature: string; sql: string }>(
    `select t.feature_id as feature, string_agg(
       case
         when c.oid is null
           then format('select quota.unlimit_table(%s::oid::regclass);', t.table_id::oid)
         else format(
           'select quota.limit_table(%L, %L, %L%s);', t.table_id, t.feature_id, t.subject_column,
           ', ' || quote_literal(t.amount_column)
         )
       end, E'\\n' order by t.table_id::text collate "C") as sql
     from quota.limited_tables as t
     left join pg_class as c on c.oid = t.table_id
     where t.feature_id = any ($1)
     group by t.feature_id
     order by t.feature_id`,
    [features],
  );
  return new Map(calls.map(({ feature, sql }) => [feature, sql]));
}

function describeTables(rows: Mismatch[], recounts: Map<string, string>): Finding[] {
  return [...recounts].map(([feature, sql]) => {
    const of = rows.filter((row) => row.is_of_tables && row.feature === feature);
    return curable(
      `Gauge ${feature} is not what its limited tables hold, for ${of.length} ${of.length === 1 ? 'subject' : 'subjects'} (such as ${of[0]?.subject}): rows were written past the triggers, or a table was dropped.`,
      sql,
    );
  });
}
