import { useEntitlement, usePlans, useUsageFormat } from 'pgquota/react';

/** What the plan has without its being counted. */
export function Included({ features }: { features: string[] }) {
  return (
    <dl className="included" aria-label="Included">
      {features.map((feature) => (
        <Item key={feature} feature={feature} />
      ))}
    </dl>
  );
}

function Item({ feature }: { feature: string }) {
  const { enabled, value, error } = useEntitlement(feature);
  const { plans } = usePlans();
  const { value: said } = useUsageFormat();
  const row = plans?.flatMap((plan) => plan.values).find((one) => one.feature === feature);
  // The smallest plan that has it: who has not is told where to find it.
  const offer = plans?.find((plan) =>
    plan.values.some((one) => one.feature === feature && one.value !== false),
  );
  return (
    <div data-feature={feature}>
      <dt>{row?.feature_name ?? feature}</dt>
      <dd>
        {enabled === null || plans === null ? (
          error === null ? (
            '\u00a0'
          ) : (
            'unknown at the moment'
          )
        ) : !enabled ? (
          offer ? (
            <a href="/settings/billing" aria-label={`${row?.feature_name}: in ${offer.name}`}>
              in {offer.name}
            </a>
          ) : (
            'not on offer'
          )
        ) : row?.kind === 'value' && value !== null ? (
          said(value, row.unit)
        ) : (
          'included'
        )}
      </dd>
    </div>
  );
}
