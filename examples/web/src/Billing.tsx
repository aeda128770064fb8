import { PricingTable } from 'pgquota/react';
import { type Session, upgrade } from './api.ts';
import { FEATURES, INCLUDED } from './Dashboard.tsx';

/** Where a plan's upgrade_url leads. */
export function Billing({ session }: { session: Session }) {
  return (
    <>
      <div className="page-head">
        <h1>Plans</h1>
        <a href="/">Back to the drafts</a>
      </div>
      <h2 className="hidden">What each plan allows</h2>
      <PricingTable
        features={[...FEATURES, ...INCLUDED]}
        recommended="pro"
        onChoose={(plan) => upgrade(session, plan)}
      />
    </>
  );
}
