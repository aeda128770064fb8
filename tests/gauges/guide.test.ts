// docs/tables.md as it stands there: every block of SQL is run, in order.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';
import { openTables } from '../support/open-tables.ts';
import { applyPlans } from '../support/plans.ts';

const gauge = { kind: 'gauge' };

test('the guide to limited tables runs', async () => {
  const guide = readFileSync(fromRoot('docs/tables.md'), 'utf8');
  const blocks = [...guide.matchAll(/^```sql\n(.*?)^```$/gms)].map(([, sql]) => sql as string);
  expect(blocks.length).toBeGreaterThan(5);

  const database = await createDatabase();
  try {
    const owner = await database.connect();
    await applyPlans(owner, {
      features: { kb_file: gauge, kb_byte: gauge, seat: gauge, draft: gauge },
      plans: {
        free: {
          default: true,
          limits: { kb_file: { lifetime: 5 }, kb_byte: { lifetime: 100 }, seat: { lifetime: 1 } },
        },
      },
    });
    for (const sql of blocks) {
      if (sql.includes('return_usage')) {
        await owner.query(`
          insert into public.kb_files (user_id, name) values ('00000000-0000-4000-8000-00000000000a', 'file');
          select public.consume_usage('kb_file', 2, '00000000-0000-4000-8000-00000000000a')`);
      }
      await owner.query(sql);
      expect(await openTables(owner)).toEqual([]);
      if (sql.includes('return_usage')) {
        const { rows } = await owner.query(
          `select used::integer from public.current_usage where feature = 'kb_file' and used > 0`,
        );
        expect(rows, 'what was counted by hand is given back, the row stays').toEqual([
          { used: 1 },
        ]);
      }
    }
    const { rows: gaps } = await owner.query('select * from public.verify_usage()');
    expect(gaps).toEqual([]);
    const { rows: triggers } = await owner.query(
      `select tgrelid::regclass from pg_trigger where tgname like 'pgquota%'`,
    );
    expect(triggers).toEqual([]);
  } finally {
    await database.drop();
  }
});
