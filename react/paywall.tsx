'use client';
/** Says why there is no room, when there will be, and which plans have it; goes away when there is. */
import type { UsageExplanation } from 'pgquota';
import { type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { type Offers, type Refused, useOffers } from './offers.ts';
import type { Plan } from './plans.ts';
import { usePlans, useUsage, useUsageFormat } from './provider.tsx';

export interface PaywallProps {
  /** What was refused; null: closed. */
  refused: Refused | null;
  /** `dismissed` by the user, `upgraded` to `plan`, or there is `room` again: a period or a hold ended. */
  onClose: (why: 'dismissed' | 'upgraded' | 'room', plan?: string) => void;
  /** Leads to the payment, or makes it; it closes when this is done. Default: a link to upgrade_url. */
  onUpgrade?: (plan: string) => void | Promise<void>;
  /** Draws the inside in another way. */
  children?: (offers: Offers, close: () => void) => ReactNode;
  className?: string;
}

export function Paywall({ refused, ...props }: PaywallProps) {
  return refused ? <OpenPaywall refused={refused} {...props} /> : null;
}

function OpenPaywall({
  refused,
  onClose,
  onUpgrade,
  children,
  className,
}: PaywallProps & { refused: Refused }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const outcome = useRef<Parameters<PaywallProps['onClose']>>(['dismissed']);
  const title = useId();
  const [paying, setPaying] = useState<string | null>(null);
  const [failure, setFailure] = useState('');
  const { refresh } = useUsage();
  const { words } = useUsageFormat();
  const offers = useOffers(refused);
  const { explanation, plans, hasRoom } = offers;

  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
  }, []);
  // The dialog gives the focus back to where it was, then tells.
  const close = (...why: Parameters<PaywallProps['onClose']>) => {
    outcome.current = why;
    dialog.current?.close();
  };
  const isPaying = paying !== null;
  useEffect(() => {
    if (!hasRoom || isPaying) return;
    outcome.current = ['room'];
    dialog.current?.close();
  }, [hasRoom, isPaying]);

  async function pay(plan: string) {
    setPaying(plan);
    setFailure('');
    try {
      await onUpgrade?.(plan);
      await refresh();
      close('upgraded', plan);
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
      setPaying(null);
    }
  }

  return (
    <dialog
      ref={dialog}
      className={['pgquota pgquota-paywall', className].filter(Boolean).join(' ')}
      aria-labelledby={title}
      onClose={() => onClose(...outcome.current)}
    >
      {children ? (
        children(offers, () => close('dismissed'))
      ) : (
        <>
          <h2 id={title}>
            <Title refused={refused} explanation={explanation} />
          </h2>
          <p className="pgquota-why">{explanation && <Why explanation={explanation} />}</p>
          {plans?.length === 0 && <p>{words.noLargerPlan}</p>}
          <ul className="pgquota-offers">
            {plans?.map((plan, at) => (
              <li key={plan.plan}>
                <PlanLimits plan={plan} feature={refused.feature} />
                {onUpgrade ? (
                  <button
                    type="button"
                    className={at === 0 ? 'pgquota-button pgquota-main' : 'pgquota-button'}
                    disabled={isPaying}
                    onClick={() => pay(plan.plan)}
                  >
                    {paying === plan.plan ? words.oneMoment : words.upgradeTo(plan.name)}
                  </button>
                ) : (
                  explanation?.upgrade_url && (
                    <a
                      className={at === 0 ? 'pgquota-button pgquota-main' : 'pgquota-button'}
                      href={explanation.upgrade_url}
                    >
                      {words.upgradeTo(plan.name)}
                    </a>
                  )
                )}
              </li>
            ))}
          </ul>
          <p className="pgquota-failure" role="alert">
            {offers.failed ? words.reasonUnavailable : failure}
          </p>
          <button type="button" className="pgquota-link" onClick={() => close('dismissed')}>
            {words.notNow}
          </button>
        </>
      )}
    </dialog>
  );
}

function Title({
  refused,
  explanation,
}: {
  refused: Refused;
  explanation: UsageExplanation | null;
}) {
  const { words, number } = useUsageFormat();
  const { plans } = usePlans();
  const amount = refused.amount ?? 1;
  const value = plans
    ?.flatMap(({ values }) => values)
    .find(({ feature }) => feature === refused.feature);
  if (explanation && value) return value.feature_name;
  const unit = plans
    ?.flatMap(({ limits }) => limits)
    .find((l) => l.feature === refused.feature)?.unit;
  if (!explanation || unit === undefined) return '\u00a0';
  return words.refused(
    amount,
    words.units(unit, amount),
    explanation.remaining ? number(explanation.remaining) : null,
  );
}

function Why({ explanation }: { explanation: UsageExplanation }) {
  const { words, number, instant } = useUsageFormat();
  const { nameOf } = usePlans();
  const { timeZone } = useUsage({ subject: explanation.subject });
  const { period, plan, limit, reserved, remaining, resets_at } = explanation;
  if (period === null) return words.notInPlan(plan === null ? '' : nameOf(plan));
  return words.why({
    used: number(explanation.used),
    limit: number(limit ?? 0),
    reserved: reserved > 0 ? number(reserved) : null,
    remaining: remaining ? number(remaining) : null,
    period,
    resets: resets_at ? instant(resets_at, timeZone) : null,
  });
}

/** A plan's name and what it allows of a feature. */
function PlanLimits({ plan, feature }: { plan: Plan; feature: string }) {
  const { words, number, value } = useUsageFormat();
  return (
    <span>
      <strong>{plan.name}</strong>
      {plan.values
        .filter((row) => row.feature === feature && row.kind === 'value')
        .map((row) => (
          <small key={row.feature}>{words.value(row.feature_name, value(row.value))}</small>
        ))}
      {plan.limits
        .filter((row) => row.feature === feature)
        .map((row) => (
          <small key={row.period}>
            {words.limit(
              row.limit === null ? null : number(row.limit),
              row.feature_name,
              row.period,
            )}
          </small>
        ))}
    </span>
  );
}
