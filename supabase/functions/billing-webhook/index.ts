/** The plan change as a Supabase Edge Function. `supabase secrets set BILLING_WEBHOOK_SECRET=whsec_…` */
import { createClient } from '@supabase/supabase-js';
import { createPlanChange } from '../_shared/plan-change.ts';

const planChange = createPlanChange({
  secret: environment('BILLING_WEBHOOK_SECRET'),
  asService: createClient(environment('SUPABASE_URL'), environment('SUPABASE_SERVICE_ROLE_KEY'), {
    auth: { persistSession: false, autoRefreshToken: false },
  }),
});

Deno.serve(planChange);

function environment(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
