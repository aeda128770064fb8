// What the compiler knows. `npm run lint` compiles this file, so a wrong type is a failed lint.
import type { PostgrestClient } from '@supabase/postgrest-js';
import type { SupabaseClient } from '@supabase/supabase-js';
import { expectTypeOf, test } from 'vitest';
import type { Database } from '../../types/database.ts';
import {
  type CurrentUsage,
  createUsageClient,
  type Period,
  type PlanCatalog,
  type UsageClient,
  type UsageConnection,
  type UsageDecision,
  type UsageEvent,
  type UsageHistory,
  type UsageLimitExceeded,
  type usageLimitResponse,
} from '../../types/index.ts';

/** As README says it: the plan document is where the features are. */
type Feature = keyof typeof plans.features;
const plans = {
  features: { ai_generation: { name: 'AI generations' }, export: {} },
  plans: { free: { default: true, limits: { export: { month: 5 } } } },
} as const;

test('a decision is exact about what can be null', () => {
  expectTypeOf<UsageDecision['allowed']>().toEqualTypeOf<boolean>();
  expectTypeOf<UsageDecision['reason']>().toEqualTypeOf<
    'ok' | 'limit_reached' | 'feature_not_in_plan' | 'not_taken' | 'over_limit'
  >();
  expectTypeOf<UsageDecision['used']>().toEqualTypeOf<number>();
  expectTypeOf<UsageDecision['limit']>().toEqualTypeOf<number | null>();
  expectTypeOf<UsageDecision['remaining']>().toEqualTypeOf<number | null>();
  expectTypeOf<UsageDecision['plan']>().toEqualTypeOf<string | null>();
  expectTypeOf<UsageDecision['period']>().toEqualTypeOf<Period | null>();
  // A window of n units, and no other text.
  expectTypeOf<'5 hours'>().toExtend<Period>();
  expectTypeOf<'1 day'>().toExtend<Period>();
  expectTypeOf<'1 fortnight'>().not.toExtend<Period>();
  expectTypeOf<'day' | '5 hours'>().toExtend<UsageHistory['period']>();
  expectTypeOf<UsageDecision['retry_after']>().toEqualTypeOf<number | null>();
  expectTypeOf<UsageDecision['event_id']>().toEqualTypeOf<string | null>();
  expectTypeOf<UsageDecision['replayed']>().toEqualTypeOf<boolean>();
});

test('the rows of the views are exact too', () => {
  expectTypeOf<CurrentUsage['used']>().toEqualTypeOf<number>();
  expectTypeOf<CurrentUsage['period']>().toEqualTypeOf<Period>();
  expectTypeOf<CurrentUsage['percent_used']>().toEqualTypeOf<number | null>();
  expectTypeOf<UsageHistory['period_end']>().toEqualTypeOf<string | null>();
  expectTypeOf<UsageEvent<Feature>['feature']>().toEqualTypeOf<Feature | null>();
  expectTypeOf<PlanCatalog['limit']>().toEqualTypeOf<number | null>();

  type Select = ReturnType<UsageClient<Feature>['from']>['select'];
  expectTypeOf<Select>().toBeFunction();
  const read = async (usage: UsageClient<Feature>) =>
    (await usage.from('current_usage').select('feature, limit').throwOnError()).data;
  expectTypeOf<Awaited<ReturnType<typeof read>>>().toEqualTypeOf<
    { feature: Feature; limit: number | null }[]
  >();
});

test('features are narrowed to the union of the project', () => {
  const use = (usage: UsageClient<Feature>) => {
    usage.consumeUsage({ feature: 'export' });
    // @ts-expect-error: not a feature of this project
    usage.consumeUsage({ feature: 'exports' });
    // @ts-expect-error: the feature is missing
    usage.consumeUsage({});
    // @ts-expect-error: an amount that is null is the error QAMNT
    usage.consumeUsage({ feature: 'export', amount: null });
    // @ts-expect-error: not a view of ours
    usage.from('users');
    usage.consumeUsage({ feature: 'export', subject: null, idempotency_key: null });
    usage.verifyUsage();
    usage.setLimit({ subject: 'ann', feature: 'export', period: 'month', limit: null });
    // @ts-expect-error: null is unlimited, leaving it out is nothing
    usage.setLimit({ subject: 'ann', feature: 'export', period: 'month' });
    // @ts-expect-error: no period
    usage.setLimit({ subject: 'ann', feature: 'export', period: 'monthly', limit: 1 });
    // @ts-expect-error: no period
    usage.clearLimit({ subject: 'ann', feature: 'export', period: 'months' });
    usage.applyPlans({ plans });
  };
  expectTypeOf<Feature>().toEqualTypeOf<'ai_generation' | 'export'>();
  expectTypeOf(use).toBeFunction();
  expectTypeOf<UsageClient<Feature>['consumeUsage']>().returns.resolves.toEqualTypeOf<
    UsageDecision<Feature>
  >();
  expectTypeOf<UsageClient['consumeUsage']>()
    .parameter(0)
    .toHaveProperty('feature')
    .toEqualTypeOf<string>();
});

test('null is what null means in SQL, also where a header or a form has none', () => {
  const use = (usage: UsageClient<Feature>, request: Request) => {
    const idempotencyKey = request.headers.get('idempotency-key');
    usage.consumeUsage(
      { feature: 'export', subject: null, idempotency_key: idempotencyKey, metadata: null },
      { signal: null },
    );
    const options = { subject: 'ann', idempotencyKey, metadata: null, signal: null };
    usage.withUsage('export', options, (work) => work.commit(1, null));
  };
  expectTypeOf(use).toBeFunction();
});

test('a client takes any SupabaseClient, PostgrestClient or their like, and a refusal becomes a Response', () => {
  type Other = { app: { Tables: Record<never, never>; Views: Record<never, never> } } & {
    app: { Functions: Record<never, never> };
  };
  const accept = (
    untyped: SupabaseClient,
    typed: SupabaseClient<Database>,
    other: SupabaseClient<Other, 'app'>,
    postgrest: PostgrestClient<Database>,
    own: UsageConnection,
  ) => [
    createUsageClient(untyped),
    createUsageClient(typed),
    createUsageClient<Feature>(other),
    createUsageClient<Feature>(postgrest),
    createUsageClient(own),
    // @ts-expect-error: it makes no calls
    createUsageClient({ from: untyped.from }),
  ];
  expectTypeOf(accept).toBeFunction();
  expectTypeOf<UsageLimitExceeded['code']>().toEqualTypeOf<'USAGE_LIMIT_EXCEEDED'>();
  expectTypeOf<UsageLimitExceeded['status']>().toEqualTypeOf<402 | 429>();
  expectTypeOf<UsageLimitExceeded['retryAfter']>().toEqualTypeOf<number | null>();
  expectTypeOf<UsageLimitExceeded['upgradeUrl']>().toEqualTypeOf<string | null>();
  expectTypeOf<typeof usageLimitResponse>().returns.toEqualTypeOf<Response>();
});
