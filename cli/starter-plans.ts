/** The plans to begin with: those of the README, so that its snippets run against them. */
export const STARTER_PLANS = {
  features: {
    ai_generation: { name: 'AI generations', unit: 'generation' },
    ai_token: { name: 'AI tokens', unit: 'token', server_only: true },
    export: { name: 'Exports' },
    kb_file: { name: 'Knowledge base files', kind: 'gauge' },
  },
  plans: {
    free: {
      name: 'Free',
      default: true,
      upgrade_url: '/settings/billing',
      limits: {
        ai_generation: { month: 50 },
        ai_token: { month: 100000 },
        export: { month: 5 },
        kb_file: { lifetime: 10 },
      },
    },
    pro: {
      name: 'Pro',
      limits: {
        ai_generation: { month: null, minute: 30 },
        ai_token: { month: 5000000 },
        export: { month: null },
        kb_file: { lifetime: 500 },
      },
    },
    enterprise: {
      name: 'Enterprise',
      limits: {
        ai_generation: { month: null },
        ai_token: { month: null },
        export: { month: null },
        kb_file: { lifetime: null },
      },
    },
  },
};
