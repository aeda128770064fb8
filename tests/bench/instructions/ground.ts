/** The stopped server that every run starts from: migrated, plans applied, some subjects in use. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { withClient } from '../../../scripts/local/client.ts';
import { migrate } from '../../../scripts/local/migrate.ts';
import { findHome, type Home } from '../../../scripts/local/native.ts';
import { startPostgres } from '../../../scripts/local/postgres.ts';
import { ensureApiRoles } from '../../../scripts/local/roles.ts';
import { throwawayFolder } from '../../../scripts/local/throwaway.ts';
import { guardFolder } from '../../../scripts/local/warden.ts';
import { clockReturning } from '../../support/clock.ts';
import { GROUND, PLANS, type Row, rowsOf } from './rows.ts';

export async function withGround<T>(use: (home: Home, rows: Row[]) => Promise<T>): Promise<T> {
  const folder = throwawayFolder('pgquota-instructions-');
  const release = guardFolder(folder);
  try {
    const postgres = await startPostgres({ dataDirectory: join(folder, 'data'), durable: false });
    try {
      await withClient(postgres.url(), ensureApiRoles);
      await migrate(postgres.url());
      const rows = await withClient(postgres.url(), async (client) => {
        await client.query('select public.apply_plans($1)', [JSON.stringify(PLANS)]);
        await client.query(GROUND);
        await client.query('vacuum analyze');
        const clock = await clockReturning(client, '$value$');
        return rowsOf((value) => clock.replace('$value$', value));
      });
      await postgres.stop('fast');
      return await use(findHome(postgres.dataDirectory), rows);
    } finally {
      await postgres.remove();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
    release();
  }
}
