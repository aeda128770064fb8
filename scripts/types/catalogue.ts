/** What schema public offers, read from pg_catalog: functions, composite types, views. */
import type pg from 'pg';

export interface Field {
  name: string;
  type: string;
  comment: string | null;
}

export interface Shape {
  name: string;
  kind: 'composite' | 'view';
  comment: string | null;
  fields: Field[];
}

export interface Parameter {
  name: string;
  /** in, or what the generator cannot express. */
  mode: string;
  type: string;
  /** The default as SQL; null without one. */
  default: string | null;
}

export interface Routine {
  name: string;
  kind: string;
  comment: string | null;
  returns: string;
  returnsSet: boolean;
  parameters: Parameter[];
  /** Which of the API's roles may call it. */
  callers: string[];
}

export interface Catalogue {
  shapes: Shape[];
  routines: Routine[];
}

/** Everything in schema public is ours: the database holds the migration and nothing else. */
export async function readCatalogue(client: pg.ClientBase): Promise<Catalogue> {
  const shapes = await client.query<Shape>(`
    select
      c.relname as name,
      case c.relkind when 'c' then 'composite' else 'view' end as kind,
      case c.relkind
        when 'c' then obj_description(c.reltype, 'pg_type')
        else obj_description(c.oid, 'pg_class')
      end as comment,
      (
        select json_agg(
          json_build_object(
            'name', a.attname,
            'type', format_type(a.atttypid, null),
            'comment', col_description(c.oid, a.attnum)
          )
          order by a.attnum
        )
        from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      ) as fields
    from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('c', 'v')
    order by c.relname collate "C"`);
  const routines = await client.query<Routine>(
    `
    select
      p.proname as name,
      case p.prokind when 'f' then 'function' when 'p' then 'procedure' else 'aggregate' end as kind,
      obj_description(p.oid, 'pg_proc') as comment,
      format_type(p.prorettype, null) as returns,
      p.proretset as "returnsSet",
      (
        select coalesce(json_agg(
          json_build_object(
            'name', coalesce(p.proargnames[i.position], ''),
            'mode', case coalesce(p.proargmodes[i.position], 'i')
              when 'i' then 'in' when 'o' then 'out' when 'b' then 'inout'
              when 'v' then 'variadic' else 'table' end,
            'type', format_type(i.type, null),
            'default', pg_get_function_arg_default(p.oid, i.position::integer)
          )
          order by i.position
        ), '[]')
        from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]))
          with ordinality as i (type, position)
      ) as parameters,
      array(
        select r from unnest($1::text[]) as r where has_function_privilege(r, p.oid, 'execute')
      ) as callers
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace
    order by p.proname collate "C"`,
    [['anon', 'authenticated', 'service_role']],
  );
  return { shapes: shapes.rows, routines: routines.rows };
}
