/**
 * What a database holds, as one text per object: definition, owner, privileges, comment. Asked of
 * pg_catalog, since pg_dump is not to be had from npm. Two databases are the same when their texts are.
 *
 * Left out is what the tools keep for themselves: schema supabase_migrations. A column has its place among
 * those that are there, not its number: one that was dropped keeps a number for ever.
 */
import type pg from 'pg';

const ACL = (column: string, kind: string, owner: string) =>
  `(select string_agg(a::text, ' ' order by a::text collate "C")
    from unnest(coalesce(${column}, acldefault('${kind}', ${owner}))) as a)`;

const QUERY = `
with ours as (
  select n.oid, n.nspname, n.nspowner, n.nspacl
  from pg_namespace as n
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'supabase_migrations')
),
relations as (
  select c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relkind::text as relkind, c.relowner, c.relacl,
    c.reloptions, c.relrowsecurity, c.relforcerowsecurity, c.relpersistence, c.reltype
  from pg_class as c
  join ours as n on n.oid = c.relnamespace
)
select 'schema ' || nspname as object,
  concat_ws(E'\\n', pg_get_userbyid(nspowner), ${ACL('nspacl', 'n', 'nspowner')},
    obj_description(oid, 'pg_namespace')) as text
from ours
union all
select
  case relkind when 'r' then 'table' when 'v' then 'view' when 'm' then 'materialized view'
    when 'i' then 'index' when 'S' then 'sequence' when 'c' then 'type' else relkind end
    || ' ' || name,
  concat_ws(E'\\n', pg_get_userbyid(relowner),
    case when relkind in ('r', 'v', 'm', 'p') then ${ACL('relacl', 'r', 'relowner')}
      when relkind = 'S' then ${ACL('relacl', 's', 'relowner')} end,
    reloptions::text, relrowsecurity, relforcerowsecurity, relpersistence,
    case when relkind in ('v', 'm') then pg_get_viewdef(oid) end,
    case when relkind = 'i' then pg_get_indexdef(oid) end,
    obj_description(oid, 'pg_class'), obj_description(reltype, 'pg_type'))
from relations
union all
select 'column ' || r.name || '.' || a.attname,
  concat_ws(E'\\n', rank() over (partition by r.oid order by a.attnum),
    format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation,
    coalesce(a.attstattarget, -1), a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, a.attoptions::text, a.attacl::text,
    pg_get_expr(d.adbin, d.adrelid), col_description(r.oid, a.attnum))
from relations as r
join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef as d on d.adrelid = r.oid and d.adnum = a.attnum
union all
select 'constraint ' || coalesce(r.name || '.', '') || c.conname,
  concat_ws(E'\\n', pg_get_constraintdef(c.oid), c.convalidated,
    obj_description(c.oid, 'pg_constraint'))
from pg_constraint as c
join ours as n on n.oid = c.connamespace
left join relations as r on r.oid = c.conrelid
union all
select 'policy ' || r.name || '.' || p.polname,
  concat_ws(E'\\n', p.polcmd, p.polpermissive,
    (select string_agg(m::regrole::text, ', ' order by m::regrole::text) from unnest(p.polroles) as m),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
    obj_description(p.oid, 'pg_policy'))
from pg_policy as p
join relations as r on r.oid = p.polrelid
union all
select 'trigger ' || r.name || '.' || t.tgname,
  concat_ws(E'\\n', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger'))
from pg_trigger as t
join relations as r on r.oid = t.tgrelid
where not t.tgisinternal
union all
select 'function ' || p.oid::regprocedure,
  concat_ws(E'\\n', pg_get_userbyid(p.proowner), ${ACL('p.proacl', 'f', 'p.proowner')},
    case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end,
    obj_description(p.oid, 'pg_proc'))
from pg_proc as p
join ours as n on n.oid = p.pronamespace
union all
select 'type ' || format_type(t.oid, null),
  concat_ws(E'\\n', t.typtype, pg_get_userbyid(t.typowner), ${ACL('t.typacl', 'T', 't.typowner')},
    format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
    (select string_agg(e.enumlabel, ', ' order by e.enumsortorder)
      from pg_enum as e where e.enumtypid = t.oid),
    obj_description(t.oid, 'pg_type'))
from pg_type as t
join ours as n on n.oid = t.typnamespace
where t.typtype in ('d', 'e', 'r', 'm')
union all
select 'default privileges ' || d.defaclrole::regrole || ' '
    || coalesce(d.defaclnamespace::regnamespace::text, '') || ' ' || d.defaclobjtype::text,
  ${ACL('d.defaclacl', 'f', 'd.defaclrole')}
from pg_default_acl as d
union all
select 'extension ' || e.extname, e.extversion from pg_extension as e
order by 1`;

/** The texts by object, in the order of their names. */
export async function describe(client: pg.ClientBase): Promise<Map<string, string>> {
  // With an empty search path every name is written out, whatever the session's is.
  await client.query('begin; set local search_path = pg_catalog');
  try {
    const { rows } = await client.query<{ object: string; text: string }>(QUERY);
    return new Map(rows.map(({ object, text }) => [object, text]));
  } finally {
    await client.query('rollback');
  }
}

/** One line per object that differs; none when the two are the same. */
export function differences(expected: Map<string, string>, found: Map<string, string>): string[] {
  const lines: string[] = [];
  for (const [object, text] of expected) {
    const other = found.get(object);
    if (other === undefined) lines.push(`${object} is missing`);
    else if (other !== text) lines.push(`${object} differs: ${firstDifference(text, other)}`);
  }
  for (const object of found.keys()) {
    if (!expected.has(object)) lines.push(`${object} is too much`);
  }
  return lines;
}

function firstDifference(expected: string, found: string): string {
  const a = expected.split('\n');
  const b = found.split('\n');
  const at = a.findIndex((line, index) => line !== b[index]);
  const quote = (line: string | undefined) => (line === undefined ? 'nothing' : `"${line.trim()}"`);
  return at < 0 ? `${quote(b[a.length])} follows` : `${quote(b[at])} instead of ${quote(a[at])}`;
}
