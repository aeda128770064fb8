'use client';
/** Usage limits in a page of React: the numbers of the database, for who is signed in. */
export {
  type EntitlementState,
  type UseEntitlementOptions,
  useEntitlement,
} from './entitlement.ts';
export { type Offers, type Refused, useOffers } from './offers.ts';
export { Paywall, type PaywallProps } from './paywall.tsx';
export { hasLargerPlan, type Plan, type PlanLimit, type PlansState } from './plans.ts';
export { PricingTable, type PricingTableProps } from './pricing-table.tsx';
export {
  type Usage,
  UsageProvider,
  type UsageProviderProps,
  type UsageSource,
  type UseUsageOptions,
  usePlans,
  useUsage,
  useUsageFormat,
} from './provider.tsx';
export {
  UpgradeAction,
  UsageIndicator,
  type UsageIndicatorProps,
  UsageMeter,
  UsageRow,
} from './usage-indicator.tsx';
export { createFormat, ENGLISH, type UsageFormat, type UsageWords } from './words.ts';
