/** Refuse early and in a sentence: a name of schema public that is taken stops a migration before it begins. */

export const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

/**
 * The look of a plpgsql body that has a variable v_taken text. It comes before the look at what is installed:
 * each sees what was committed by then, and a pgquota that comes meanwhile brings its names with it.
 */
export const findTaken = (names: string[]) => `\
  select pg_catalog.string_agg(
      pg_catalog.pg_describe_object(o.class_id, o.id, 0), ', '
      order by pg_catalog.pg_describe_object(o.class_id, o.id, 0)
    )
    into v_taken
    from (
      select 'pg_catalog.pg_proc'::pg_catalog.regclass as class_id, p.oid as id, p.proname as name,
        p.pronamespace as schema_id
      from pg_catalog.pg_proc as p
      union all
      select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, c.relname, c.relnamespace
      from pg_catalog.pg_class as c
      union all
      select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.typname, t.typnamespace
      from pg_catalog.pg_type as t
      where t.typrelid = 0
        and t.typelem = 0
    ) as o
    where o.schema_id = 'public'::pg_catalog.regnamespace
      and o.name = any (array[
${wrap(names.map((name) => literal(name)))}
      ]);
`;

export const REFUSE_TAKEN = `\
  if v_taken is not null then
    raise exception 'schema public has names that pgquota needs: %', v_taken
      using errcode = '42710', hint = 'rename yours, or drop it when pgquota takes its place';
  end if;
`;

function wrap(words: string[]): string {
  const lines = [''];
  for (const word of words) {
    const line = lines.at(-1) as string;
    if (line.length + word.length > 88) lines.push(word);
    else lines[lines.length - 1] = line ? `${line}, ${word}` : word;
  }
  return lines.map((line) => `        ${line}`).join(',\n');
}
