/** The plans to begin with, as in supabase/seed.sql. */
export const STARTER_PLANS = {
  features: {
    ai_generation: { name: 'AI generations', unit: 'generation' },
  },
  plans: {
    free: {
      name: 'Free',
      default: true,
      upgrade_url: '/settings/billing',
      limits: { ai_generation: { month: 50 } },
    },
    pro: {
      name: 'Pro',
      limits: { ai_generation: { month: null } },
    },
    enterprise: {
      name: 'Enterprise',
      limits: { ai_generation: { month: null } },
    },
  },
};
