'use client';
/** Why there is no room for an amount, and which plans would have it: explain_usage() as it changes. */
import type { UsageExplanation } from 'pgquota';
import { useEffect, useState } from 'react';
import type { Plan } from './plans.ts';
import { usePlans, useUsage, useUsageContext } from './provider.tsx';

/** What was refused. */
export interface Refused {
  feature: string;
  /** Default: 1. */
  amount?: number;
  /** Default: what the provider says. */
  subject?: string;
}

export interface Offers {
  /** The limit that refuses; null until the answer, and when none does. */
  explanation: UsageExplanation | null;
  /** Plans that would allow it, smallest first; null until the answer. */
  plans: Plan[] | null;
  /** Whether there is room by now; null until the answer. */
  hasRoom: boolean | null;
  /** Whether the reason could not be read. */
  failed: boolean;
}

const UNKNOWN = { limits: null as UsageExplanation[] | null, failed: false };

/** Asked anew whenever usage is read, so also at a reset and when a hold ends. */
export function useOffers(refused: Refused | null): Offers {
  const { usage, user, subject: own } = useUsageContext();
  const { answeredAt } = useUsage();
  const catalog = usePlans();
  const { feature, amount = 1, subject = own } = refused ?? {};
  const about = feature === undefined ? null : JSON.stringify([user, feature, amount, subject]);
  const [known, setKnown] = useState({ about, ...UNKNOWN });

  // biome-ignore lint/correctness/useExhaustiveDependencies: asked again with each answer about usage
  useEffect(() => {
    if (about === null || feature === undefined || !user) return;
    let wanted = true;
    usage.explainUsage({ feature, amount, subject }).then(
      (limits) => wanted && setKnown({ about, limits, failed: false }),
      () =>
        wanted &&
        setKnown((former) => ({
          about,
          limits: former.about === about ? former.limits : null,
          failed: true,
        })),
    );
    return () => {
      wanted = false;
    };
  }, [usage, about, answeredAt]);

  const { limits, failed } = known.about === about ? known : UNKNOWN;
  const explanation = limits?.find((limit) => limit.refuses) ?? null;
  const ids = explanation?.plans;
  return {
    explanation,
    plans: ids && catalog.plans ? catalog.plans.filter(({ plan }) => ids.includes(plan)) : null,
    hasRoom: limits ? explanation === null : null,
    failed,
  };
}
