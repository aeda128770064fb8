/** What the soak plays with: plans, subjects of two sorts, and a table that limits itself. */
import type pg from 'pg';
import type { Random } from '../periods/random.ts';
import { applyPlans } from '../support/plans.ts';

/** Nothing is changed for these and nothing given back to them, so every day of theirs must come out even. */
export const STRICT = ['strict-1', 'strict-2', 'strict-3'];
/** Units of `unit` a day, one a call. */
export const UNITS_A_DAY = 400;

/** How long tidy() keeps lines one by one. */
export const KEPT = '3 days';

/** These change plans, get grants, exceptions, fresh starts and refunds. */
export const ROAMING = Array.from({ length: 300 }, (_, n) => `user-${n}`);
/** Some count at their team, too. */
const TEAMS = ['team-1', 'team-2'];

export const PLAN_NAMES = ['free', 'pro', 'large'];

/** The limits of an edition of the catalogue; with a random stream, of another. */
function plans(random?: Random) {
  const some = (usual: number) => (random ? random.between(usual / 2, usual * 2) : usual);
  return {
    features: {
      unit: {},
      token: {},
      image: { costs: { credit: 2 } },
      credit: {},
      file: { kind: 'gauge' },
    },
    plans: {
      free: {
        default: true,
        limits: {
          unit: { day: UNITS_A_DAY },
          token: { minute: some(30), month: some(400) },
          credit: { month: some(60) },
          file: { lifetime: 5 },
        },
      },
      pro: {
        limits: {
          token: { '5 hours': some(300), month: { limit: some(4000), rollover: 500 } },
          image: { day: some(40) },
          credit: { month: { limit: some(600), mode: 'soft', ceiling: 1500 } },
          file: { lifetime: 20 },
        },
      },
      large: {
        limits: { token: { month: null }, credit: { month: null }, file: { lifetime: null } },
      },
    },
  };
}

export async function makeWorld(owner: pg.Client): Promise<void> {
  await applyPlans(owner, plans());
  await owner.query(`
    create table public.files (id bigint generated always as identity primary key, owner_id text not null);
    revoke all on public.files from anon, authenticated;
    grant select, insert, delete on public.files to service_role;
    select quota.limit_table('public.files', 'file', 'owner_id')`);
  for (const team of TEAMS) await owner.query(`select public.set_plan($1, 'large')`, [team]);
  for (const [at, subject] of ROAMING.slice(0, 20).entries()) {
    await owner.query('select public.set_parent($1, $2)', [subject, TEAMS[at % TEAMS.length]]);
  }
}

export const newEdition = (owner: pg.Client, random: Random) => applyPlans(owner, plans(random));
