/**
 * The same sql/ as an extension, in dist/extension: a control file and a script for a server's folder of
 * extensions, or for database.dev and pg_tle, which take the script as a text. npm pack builds it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileBody, thisVersion } from './build.ts';
import { fromRoot } from './local/project.ts';

/** By file name. Everything is in schemas quota and public, so nothing can be moved. */
export function renderExtension(): Record<string, string> {
  const version = thisVersion();
  return {
    'pgquota.control': `# Generated from sql/ by npm pack.
comment = 'usage limits that Postgres itself enforces'
default_version = '${version}'
relocatable = false
superuser = false
`,
    [`pgquota--${version}.sql`]: `-- Generated from sql/ by npm pack.
${BEGIN}
${compileBody()}
${END}`,
  };
}

const BEGIN = `
-- Run by create extension alone.
do $$
begin
  if not exists (select from pg_catalog.pg_extension where extname = 'pgquota') then
    raise exception 'this is the script of an extension'
      using errcode = '0A000', hint = 'create extension pgquota; as a migration it is in supabase/migrations';
  end if;
end
$$;
`;

const END = `
-- The rows are the app's: a dump holds them, though not what the extension makes. The one row that the
-- script wrote comes again with the first change of plans, or from a dump, and would be there twice.
delete from quota.catalogue;

-- One statement each: the second in one statement would find the row of the first.
do $$
declare
  v_table pg_catalog.regclass;
begin
  for v_table in
    select c.oid
    from pg_catalog.pg_class as c
    where c.relnamespace = 'quota'::pg_catalog.regnamespace
      and c.relkind = 'r'
    order by c.oid
  loop
    perform pg_catalog.pg_extension_config_dump(v_table, '');
  end loop;
end
$$;
`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = fromRoot('dist/extension');
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(renderExtension())) {
    writeFileSync(join(folder, name), text);
  }
}
