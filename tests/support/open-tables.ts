/**
 * Tables that somebody who is not signed in may write: what no snippet may leave behind. On projects with
 * automatic grants, as this database is one, that is each table without row level security.
 */
import type pg from 'pg';

export async function openTables(client: pg.ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select c.oid::regclass::text as name
     from pg_catalog.pg_class as c
     where c.relnamespace = 'public'::regnamespace
       and c.relkind in ('r', 'p')
       and has_any_column_privilege('anon', c.oid, 'insert, update')
       and (not c.relrowsecurity or exists (
         select from pg_catalog.pg_policy as p
         where p.polrelid = c.oid
           and p.polcmd <> 'r'
           and exists (
             select from unnest(p.polroles) as r (id)
             where r.id = 0 or pg_has_role('anon', r.id, 'usage')
           )
       ))
     order by 1`,
  );
  return rows.map(({ name }) => name);
}
