import type pg from 'pg';

/** Every row of schema quota as one text: equal texts mean that nothing was written in between. */
export async function everythingStored(owner: pg.ClientBase): Promise<string> {
  const { rows: tables } = await owner.query(
    `select oid::regclass::text as name from pg_class
     where relnamespace = 'quota'::regnamespace and relkind = 'r' order by 1`,
  );
  const stored: string[] = [];
  for (const { name } of tables) {
    const { rows } = await owner.query(`select t::text from ${name} as t order by 1`);
    stored.push(`${name}: ${rows.map((row) => row.t).join(' ')}`);
  }
  return stored.join('\n');
}
