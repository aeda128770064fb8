/**
 * The plan change as a route handler. Take `plan-change.ts`, `body.ts` and the SQL of examples/web/sql along.
 * On Node 20 createClient needs `realtime: { transport: ws }`: docs/client.md.
 */
import { createClient } from '@supabase/supabase-js';
import { createPlanChange } from '../../../../../supabase/functions/_shared/plan-change.ts';

const {
  SUPABASE_URL = '',
  SUPABASE_SERVICE_ROLE_KEY = '',
  BILLING_WEBHOOK_SECRET = '',
} = process.env;

export const POST = createPlanChange({
  secret: BILLING_WEBHOOK_SECRET,
  asService: createClient(SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY, {
    auth: { persistSession: false, autoRefreshToken: false },
  }),
});
