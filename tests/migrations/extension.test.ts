// create extension pgquota on the server of the tests as it stands: the same objects, rights and answers as the migration.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { renderExtension } from '../../scripts/extension.ts';
import { withClient } from '../../scripts/local/client.ts';
import { createDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { grantLikeSupabase } from '../support/privileges.ts';

/** Where this server looks for extensions. They stay: another run on this machine may be using them. */
function place(folder: string): void {
  for (const [name, text] of Object.entries(renderExtension())) {
    const path = join(folder, 'extension', name);
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }
}

test('a role that is no superuser installs it, under open default privileges, and takes it off', async () => {
  const database = await createDatabase({ from: 'empty' });
  const owner = `owner_${database.name}`;
  const client = await database.connect();
  try {
    const { rows } = await client.query(`select setting from pg_config where name = 'SHAREDIR'`);
    place(rows[0].setting);
    await withClient(database.url, (admin) => grantLikeSupabase(admin, 'open'));
    await client.query(`
      create role ${owner};
      grant create on database ${database.name} to ${owner};
      grant create, usage on schema public to ${owner};
      set role ${owner};
      create extension pgquota`);
    await applyPlans(client);
    expect((await client.query('select * from public.verify_installation()')).rows).toEqual([]);
    const { rows: decisions } = await client.query(
      `select d.allowed from generate_series(1, 6) as n
       cross join lateral consume_usage('export', subject => 'ada-' || n / 10) as d`,
    );
    expect(decisions.map(({ allowed }) => allowed)).toEqual([true, true, true, true, true, false]);
    expect((await client.query('select * from public.verify_usage()')).rows).toEqual([]);

    // Each table with rows of the app is in a dump, and no other object is.
    const { rows: tables } = await client.query(`
      select c.oid::regclass::text as name from pg_class as c
      where c.relnamespace = 'quota'::regnamespace and c.relkind = 'r'
        and c.oid <> all (select unnest(extconfig) from pg_extension where extname = 'pgquota')`);
    expect(tables).toEqual([]);

    await client.query('drop extension pgquota');
    const { rows: left } = await client.query(`
      select oid::regprocedure::text as object from pg_proc where pronamespace = 'public'::regnamespace
      union all select nspname from pg_namespace where nspname = 'quota'`);
    expect(left).toEqual([]);
  } finally {
    await client.query('reset role');
    await client.query(`drop owned by ${owner} cascade; drop role ${owner}`);
    await database.drop();
  }
});

test('its script is refused outside of create extension, before anything is made', async () => {
  const database = await createDatabase({ from: 'empty' });
  const client = await database.connect();
  try {
    const [, script = ''] = Object.values(renderExtension());
    await expect(client.query(script)).rejects.toMatchObject({ code: '0A000' });
    expect((await client.query(`select to_regnamespace('quota') as is_there`)).rows).toEqual([
      { is_there: null },
    ]);
  } finally {
    await database.drop();
  }
});
