/** The example app as `npm start` serves it, on a database of its own. */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { prepareDatabase } from '../../examples/web/server/prepare.ts';
import { createExample } from '../../examples/web/server/serve.ts';
import { type Api, startApi } from '../../scripts/local/api.ts';
import type { Route } from '../../scripts/local/gateway.ts';
import { seed } from '../../scripts/local/migrate.ts';
import type { Model } from '../../supabase/functions/_shared/model.ts';
import { createDatabase } from './database.ts';

export interface RunningExample extends Api {
  /** A session of the superuser. */
  admin: pg.Client;
  /** What the billing webhook's deliveries are signed with. */
  secret: string;
  jwtSecret: string;
  /** A new user on the free plan, of the kind that the page can be. */
  newUser(): string;
  used(subject: string, feature?: string): Promise<{ used: number; reserved: number }>;
  /** What verify_usage() finds: nothing, unless a counter differs from its ledger. */
  mismatches(): Promise<unknown[]>;
}

export async function startExample(model?: Model): Promise<RunningExample> {
  const database = await createDatabase();
  const admin = await database.connect();
  await seed(admin);
  await prepareDatabase(admin);
  let route: Route | undefined;
  const jwtSecret = randomBytes(32).toString('hex');
  const api = await startApi({
    databaseUrl: database.authenticatorUrl,
    jwtSecret,
    routes: [(req, res) => route?.(req, res) ?? false],
  });
  const example = createExample({ ...api, model });
  route = example.route;
  return {
    ...api,
    admin,
    secret: example.secret,
    jwtSecret,
    newUser: () => `you-${randomBytes(4).toString('hex')}`,
    async used(subject, feature = 'ai_generation') {
      const { rows } = await admin.query('select * from public.check_usage($1, 1, $2)', [
        feature,
        subject,
      ]);
      return { used: Number(rows[0].used), reserved: Number(rows[0].reserved) };
    },
    async mismatches() {
      return (await admin.query('select * from public.verify_usage()')).rows;
    },
    async stop() {
      await api.stop();
      await database.drop();
    },
  };
}
