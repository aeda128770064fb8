'use client';
/** What somebody has without its being counted: a switch that is on, a size. */
import type { Json } from 'pgquota';
import { useSyncExternalStore } from 'react';
import { useUsageContext } from './provider.tsx';

export interface UseEntitlementOptions {
  /** Default: what the provider says. */
  subject?: string;
}

export interface EntitlementState<Value = Json> {
  /** Whether the switch is on, or the value is there; null until the first answer. */
  enabled: boolean | null;
  /** null until the first answer, and where the subject has none. 0, false and '' are values. */
  value: Value | null;
  /** Why the last question failed; the rest is as of before. */
  error: string | null;
}

/**
 * A switch or value as it holds now, from the view `entitlements`: of the plan, or of an override. It
 * only shows: what must not be had without it, the server or a policy refuses (check_usage).
 */
export function useEntitlement<Value = Json>(
  feature: string,
  { subject }: UseEntitlementOptions = {},
): EntitlementState<Value> {
  const context = useUsageContext();
  const { entitlements } = context;
  const { rows, error } = useSyncExternalStore(
    entitlements.subscribe,
    entitlements.read,
    entitlements.readInitial,
  );
  const whose = subject ?? context.subject;
  const row = rows?.find((r) => r.subject === whose && r.feature === feature);
  return {
    // Of a feature that the catalogue does not know there is no row: nobody has it.
    enabled: rows === null ? null : (row?.enabled ?? false),
    value: (row?.value ?? null) as Value | null,
    error,
  };
}
