/** What a line of the ledger says, in words. */
import type { LedgerLine } from '../../server/shapes.ts';
import { number, time } from './format.ts';

type Terms = {
  plan_id?: string | null;
  plan_ends_at?: string | null;
  anchor_at?: string | null;
  time_zone?: string;
};

/** Its reason comes last, as it was typed. */
export function detailOf(line: LedgerLine): string {
  const { reason } = line.metadata;
  return [saidOf(line), typeof reason === 'string' && `“${reason}”`].filter(Boolean).join(' · ');
}

function saidOf({ kind, feature, metadata, about_id, over }: LedgerLine): string {
  // biome-ignore lint/suspicious/noExplicitAny: what a kind of line has in it is the ledger's to say
  const said = metadata as Record<string, any>;
  switch (kind) {
    case 'plan':
      return termsOf(said.from, said.to);
    case 'limit':
      return said.cleared
        ? `exception for ${feature} / ${said.period} ended`
        : `exception: ${feature} / ${said.period} ${said.limit === null || said.limit === undefined ? 'unlimited' : number(said.limit)}${
            said.ends_at ? ` until ${time(said.ends_at)}` : ''
          }`;
    case 'grant':
      return `${number(said.amount ?? 0)} ${feature} granted${said.expires_at ? ` until ${time(said.expires_at)}` : ''}`;
    case 'void':
      return `${number(said.amount ?? 0)} ${feature} taken back`;
    case 'reset':
      return `fresh start of ${feature}`;
    case 'member':
      return `${said.user_id ?? 'a user that was forgotten'} ${said.is_member ? 'became a member' : 'is no member any more'}`;
    case 'value':
      return `${said.feature}: ${JSON.stringify(said.value ?? null)}`;
    case 'parent':
      return `${said.parent ?? said.to ?? 'none'} is above it`;
    case 'merge':
      return said.from ? `${said.from} was merged into it` : 'a merge';
    default:
      return [
        restOf(metadata),
        overOf(over),
        about_id && kind === 'refund' && `of ${about_id.slice(-6)}`,
      ]
        .filter(Boolean)
        .join(' · ');
  }
}

function termsOf(from: Terms = {}, to: Terms = {}): string {
  const parts = [`${from.plan_id ?? 'default'} → ${to.plan_id ?? 'default'}`];
  if (from.plan_id === to.plan_id) parts[0] = `stays on ${to.plan_id ?? 'default'}`;
  if (to.plan_ends_at) parts.push(`until ${time(to.plan_ends_at)}`);
  if (from.anchor_at !== to.anchor_at && to.anchor_at)
    parts.push(`periods from ${time(to.anchor_at)}`);
  if (from.time_zone !== to.time_zone && to.time_zone) parts.push(to.time_zone);
  return parts.join(', ');
}

function restOf({ reason, ...rest }: Record<string, unknown>): string {
  return Object.keys(rest).length ? JSON.stringify(rest).slice(0, 200) : '';
}

const overOf = (over: Record<string, number> | null) =>
  over &&
  `past the limit: ${Object.entries(over)
    .map(([period, units]) => `${units} / ${period}`)
    .join(', ')}`;

/** Kinds that count something, and can be given back. */
export const isUse = ({ kind, used_change }: LedgerLine) =>
  used_change > 0 && ['consume', 'batch', 'commit'].includes(kind);
