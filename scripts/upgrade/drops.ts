/** What has to go before an upgrade can make it anew, and what depends on that, dependents first. */
import type pg from 'pg';

/** Keys as describe() has them: 'function quota.f(text)', 'view public.v', 'type quota.t', 'policy quota.t.p'. */
const CLOSURE = `
with recursive gone (classid, objid, depth) as (
  select 'pg_proc'::regclass::oid, to_regprocedure(substr(k, 10))::oid, 0
  from unnest($1::text[]) as k where k like 'function %'
  union all
  select 'pg_class'::regclass, to_regclass(substr(k, 6)), 0
  from unnest($1::text[]) as k where k like 'view %'
  union all
  select 'pg_type'::regclass, to_regtype(substr(k, 6)), 0
  from unnest($1::text[]) as k where k like 'type %'
  union
  select
    case when d.classid = 'pg_rewrite'::regclass then 'pg_class'::regclass else d.classid end,
    coalesce(w.ev_class, d.objid),
    gone.depth + 1
  from gone
  join pg_depend as d on d.refclassid = gone.classid and d.refobjid = gone.objid
  left join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
  where w.ev_class is distinct from gone.objid
)
select
  case
    when g.classid = 'pg_proc'::regclass then 'function ' || g.objid::regprocedure
    when c.relkind = 'v' then 'view ' || c.oid::regclass
    when y.oid is not null then 'policy ' || y.polrelid::regclass || '.' || y.polname
    when g.classid = 'pg_trigger'::regclass
      then (select 'trigger ' || x.tgrelid::regclass || '.' || x.tgname from pg_trigger as x where x.oid = g.objid)
    when t.typtype in ('c', 'd', 'e') then 'type ' || t.oid::regtype
    else pg_describe_object(g.classid, g.objid, 0)
  end as key
from gone as g
left join pg_class as c on g.classid = 'pg_class'::regclass and c.oid = g.objid
left join pg_policy as y on g.classid = 'pg_policy'::regclass and y.oid = g.objid
left join pg_type as t on g.classid = 'pg_type'::regclass and t.oid = g.objid
left join pg_class as r on r.oid = t.typrelid
-- These come and go with the type or view that they belong to.
where c.relkind is distinct from 'c'
  and coalesce(t.typelem, 0) = 0
  and coalesce(r.relkind, 'c') = 'c'
group by 1
order by max(g.depth) desc, 1`;

/** The keys to drop, in order. */
export async function withDependents(client: pg.ClientBase, keys: string[]): Promise<string[]> {
  await client.query('begin; set local search_path = pg_catalog');
  try {
    const { rows } = await client.query<{ key: string }>(CLOSURE, [keys]);
    const all = rows.map(({ key }) => key);
    const stuck = all.filter(
      (key) => !/^(function|view|type|policy|trigger) (quota|public)\./.test(key),
    );
    if (stuck.length) {
      throw new Error(
        `${stuck.join(', ')} depends on what has to be dropped (${keys.join(', ')}): drop and make it again by hand in the state part`,
      );
    }
    return all;
  } finally {
    await client.query('rollback');
  }
}

export function dropOf(key: string): string {
  const [, kind, on, name] = /^(policy|trigger) (.*)\.(\w+)$/.exec(key) ?? [];
  return on ? `drop ${kind} ${name} on ${on};` : `drop ${key};`;
}
