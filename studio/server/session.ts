/** Who is looking at what, and whether anything may be changed. */
import { version as packageVersion } from '../../cli/package.ts';
import type { Query } from './database.ts';
import type { Session } from './shapes.ts';

/** One of each action: a role that may not call them only reads. */
const ACTIONS = [
  'set_plan',
  'set_limit',
  'grant_usage',
  'void_grant',
  'reset_usage',
  'refund_usage',
  'release_usage',
  'forget_subject',
];

export async function readSession(
  query: Query,
  options: { place: string; isReadOnly: boolean },
): Promise<Session> {
  const [who] = await query(
    `select session_user::text as "user", current_setting('server_version') as server,
       pg_is_in_recovery() as is_standby,
       current_setting('default_transaction_read_only')::boolean as is_read_only,
       has_function_privilege('quota.is_trusted()', 'execute') as may_ask,
       has_function_privilege('quota.version()', 'execute') as may_ask_version,
       (select count(*) = cardinality($1::text[])
        from unnest($1::text[]) as n (name)
        join pg_proc as p on p.proname = n.name and p.pronamespace = 'public'::regnamespace
        where has_function_privilege(p.oid, 'execute')) as may_act`,
    [ACTIONS],
  );
  // Asked apart: a right that is missing is missed before anything of a statement runs.
  const [{ is_trusted }] = who.may_ask
    ? await query('select quota.is_trusted() is true as is_trusted')
    : [{ is_trusted: false }];
  const [{ version }] = who.may_ask_version
    ? await query('select quota.version() as version')
    : [{ version: null }];
  const features = await query(
    'select feature_id as feature, name, unit, kind from quota.features order by feature_id',
  );
  const plans = await query(
    `select plan_id as plan, name, is_default as "isDefault", is_retired as "isRetired"
     from quota.plans order by plan_id`,
  );
  const { user, server, is_standby, is_read_only, may_act } = who;
  return {
    place: options.place,
    user,
    server,
    version,
    packageVersion,
    isTrusted: is_trusted,
    features,
    plans,
    readOnly: options.isReadOnly
      ? 'started with --read-only'
      : is_standby
        ? 'this server is a standby'
        : is_read_only
          ? `${user} has default_transaction_read_only`
          : is_trusted && may_act
            ? null
            : `${user} may read, and not change anything`,
  };
}
