/** The plan document of the design, which most tests use as their catalogue. */
import type pg from 'pg';

export const SAMPLE_PLANS = {
  features: {
    ai_generation: { name: 'AI generations', unit: 'generation', kind: 'metered' },
    export: { name: 'Exports' },
    kb_file: { name: 'Knowledge base files', kind: 'gauge' },
  },
  plans: {
    free: {
      name: 'Free',
      default: true,
      upgrade_url: '/settings/billing',
      limits: {
        ai_generation: { month: 50, minute: 10 },
        export: { month: 5 },
        kb_file: { lifetime: 10 },
      },
    },
    pro: {
      name: 'Pro',
      limits: {
        ai_generation: { month: null },
        export: { month: null },
        kb_file: { lifetime: 500 },
      },
    },
    enterprise: {
      name: 'Enterprise',
      limits: {
        ai_generation: { month: null },
        export: { month: null },
        kb_file: { lifetime: null },
      },
    },
  },
};

/** As the superuser or service_role. Gives back the rows that say what was changed. */
export async function applyPlans(client: pg.ClientBase, plans: unknown = SAMPLE_PLANS) {
  const { rows } = await client.query('select * from public.apply_plans($1)', [
    JSON.stringify(plans),
  ]);
  return rows;
}
