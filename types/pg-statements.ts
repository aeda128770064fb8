/**
 * Calls as SQL, in the shape that PostgREST gives them: arguments arrive as one JSON object, the answer
 * leaves as JSON. It is read as text, so that no driver's idea of bigint, timestamps or JSON matters.
 */
import { UsageError } from './errors.ts';
import { ROUTINES } from './statements.ts';

/** The placeholders of `text` are $1, $2 …, in this order and each of them once. */
export interface Statement {
  text: string;
  values: string[];
}

/** Who makes the call, where that is not the login of the connection. */
export interface Identity {
  role: string;
  /** As JSON, or nothing. */
  claims: string;
}

export const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

const ANSWERS = {
  one: 'pg_catalog.to_json(answer)::text',
  many: `coalesce(pg_catalog.json_agg(answer), '[]')::text`,
  none: 'null::text',
};

export function callOf(name: string, args: object | undefined, identity?: Identity): Statement {
  const given = Object.fromEntries(
    Object.entries(args ?? {}).filter(([, value]) => value !== undefined),
  );
  const select = (json: string) => selectOf(name, Object.keys(given), json);
  if (identity) {
    const input = JSON.stringify({ ...identity, args: given });
    return { text: asIdentity(select('acting.args')), values: [input] };
  }
  const values = Object.keys(given).length > 0 ? [JSON.stringify(given)] : [];
  return { text: select('$1::text::json'), values };
}

/** Only what was given is passed on: everything else has the function's own default. */
function selectOf(name: string, given: string[], json: string): string {
  const { answer, parameters } = routine(name);
  for (const key of given) {
    if (!Object.hasOwn(parameters, key)) {
      const known = Object.keys(parameters).join(', ');
      throw new UsageError({
        message: `${name} has no parameter ${key}`,
        code: '42883',
        hint: `its parameters are: ${known}`,
        status: 404,
      });
    }
  }
  const columns = given.map((key) => `${quoted(key)} ${parameters[key]}`).join(', ');
  const source =
    given.length > 0 ? `pg_catalog.json_to_record(${json}) as args (${columns}), ` : '';
  const passed = given.map((key) => `${quoted(key)} => args.${quoted(key)}`).join(', ');
  return `select ${ANSWERS[answer]} as answer from ${source}public.${name}(${passed}) as answer`;
}

function routine(name: string) {
  return ROUTINES[name] as (typeof ROUTINES)[string];
}

/**
 * The same in one statement that takes the role and the claims on, and lays them down again for what
 * the caller's transaction does next. (An error ends the transaction, or the savepoint, and with it
 * what was set.) Each step reads the one before it: no other order of evaluation is possible.
 *
 * The trap: whether the function may be called is looked at before anything runs, so the login needs
 * the right, too; it has it where it inherits the role. What rows a view shows is decided even
 * before, so this is for functions alone.
 */
function asIdentity(select: string): string {
  return `with found as materialized (
  select input.role, input.claims, input.args, pg_catalog.current_setting('role') as own_role,
    coalesce(pg_catalog.current_setting('request.jwt.claims', true), '') as own_claims
  from pg_catalog.json_to_record($1::text::json) as input (role text, claims text, args json)
), acting as materialized (
  select found.own_role, found.own_claims, found.args,
    pg_catalog.set_config('request.jwt.claims', found.claims, true),
    pg_catalog.set_config('role', found.role, true)
  from found
), called as materialized (
  select acting.own_role, acting.own_claims, (${select}) as answer from acting
)
select called.answer, pg_catalog.set_config('role', called.own_role, true) as role,
  pg_catalog.set_config('request.jwt.claims', called.own_claims, true) as claims
from called`;
}

/** For the transaction of a view; gives back what was set before. */
export function becomeOf({ role, claims }: Identity): Statement {
  return {
    text: `with found as materialized (
  select pg_catalog.current_setting('role') as role,
    coalesce(pg_catalog.current_setting('request.jwt.claims', true), '') as claims
)
select found.role, found.claims,
  pg_catalog.set_config('request.jwt.claims', $1::text, true) as acting_claims,
  pg_catalog.set_config('role', $2::text, true) as acting_role
from found`,
    values: [claims, role],
  };
}
