'use client';
/** The plans side by side, from plan_catalog: also for who has not signed in. */
import { type ReactNode, useState } from 'react';
import type { Plan } from './plans.ts';
import { usePlans, useUsage, useUsageFormat } from './provider.tsx';

export interface PricingTableProps {
  /** Features to show, in this order. Default: all. */
  features?: string[];
  /** What a plan costs, by its id: the catalogue does not know. */
  prices?: Record<string, ReactNode>;
  /** The plan to draw the eye to. */
  recommended?: string;
  /** Leads to the payment, or makes it. Default: a link to the present plan's upgrade_url. */
  onChoose?: (plan: string) => void | Promise<void>;
  /** Draws a plan in another way. */
  children?: (plan: Plan, isOwn: boolean) => ReactNode;
  className?: string;
}

export function PricingTable({
  features,
  prices,
  recommended,
  onChoose,
  children,
  className,
}: PricingTableProps) {
  const { plans, error } = usePlans();
  const { plan: own, refresh } = useUsage();
  const { words, number, value: said } = useUsageFormat();
  const [paying, setPaying] = useState<string | null>(null);
  const [failure, setFailure] = useState('');
  const present = plans?.find(({ plan, isDefault }) => (own === null ? isDefault : plan === own));

  async function choose(plan: string) {
    setPaying(plan);
    setFailure('');
    try {
      await onChoose?.(plan);
      await refresh();
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
    }
    setPaying(null);
  }

  return (
    <section
      className={['pgquota pgquota-pricing', className].filter(Boolean).join(' ')}
      aria-label={words.plans}
      aria-busy={plans === null && error === null}
    >
      <ul className="pgquota-plans">
        {plans?.map((plan) => (
          <li
            key={plan.plan}
            className="pgquota-plan"
            data-plan={plan.plan}
            data-own={plan.plan === own || undefined}
            data-recommended={plan.plan === recommended || undefined}
          >
            {children ? (
              children(plan, plan.plan === own)
            ) : (
              <>
                <h3>{plan.name}</h3>
                {prices?.[plan.plan] !== undefined && (
                  <p className="pgquota-price">{prices[plan.plan]}</p>
                )}
                <ul className="pgquota-limits">
                  {limitsOf(plan, features).map((row) => (
                    <li key={`${row.feature}/${row.period}`}>
                      {words.limit(
                        row.limit === null ? null : number(row.limit),
                        row.feature_name,
                        row.period,
                      )}
                    </li>
                  ))}
                  {valuesOf(plan, features).map((row) => (
                    <li key={row.feature}>
                      {words.value(
                        row.feature_name,
                        row.kind === 'switch' ? null : said(row.value, row.unit),
                      )}
                    </li>
                  ))}
                </ul>
                {plan.plan === own ? (
                  <p className="pgquota-own">{words.yourPlan}</p>
                ) : onChoose ? (
                  <button
                    type="button"
                    className={
                      plan.plan === recommended ? 'pgquota-button pgquota-main' : 'pgquota-button'
                    }
                    disabled={paying !== null}
                    onClick={() => choose(plan.plan)}
                  >
                    {paying === plan.plan ? words.oneMoment : words.choose(plan.name)}
                  </button>
                ) : (
                  present?.upgradeUrl && (
                    <a className="pgquota-button" href={present.upgradeUrl}>
                      {words.choose(plan.name)}
                    </a>
                  )
                )}
              </>
            )}
          </li>
        ))}
      </ul>
      <p className="pgquota-failure" role="alert">
        {error === null ? failure : words.unavailable}
      </p>
    </section>
  );
}

const limitsOf = (plan: Plan, features: string[] | undefined) => pick(plan.limits, features);

/** A switch that is off is not on offer. */
const valuesOf = (plan: Plan, features: string[] | undefined) =>
  pick(plan.values, features).filter(({ kind, value }) => kind !== 'switch' || value === true);

const pick = <Row extends { feature: string }>(rows: Row[], features: string[] | undefined) =>
  features ? features.flatMap((feature) => rows.filter((row) => row.feature === feature)) : rows;
