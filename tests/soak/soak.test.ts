// A soak of seconds: that it runs, and that it would notice. At length: npm run soak -- 20.
import { expect, test } from 'vitest';
import { seedOfThisRun } from '../periods/random.ts';
import { soak } from './soak.ts';

const seed = seedOfThisRun();
const brief = { sessions: 6, stretch: 2, seed, say: () => {} };

test('crashes, clock steps, new plans and an upgrade leave every number right', async () => {
  const { findings, events, answers, stretches } = await soak({ ...brief, seconds: 7 });
  expect(findings, `PGQUOTA_SEED=${seed}`).toEqual([]);
  expect(events).toMatchObject({ upgraded: 1, 'killed with -9': expect.any(Number) });
  expect(answers.ok).toBeGreaterThan(100);
  expect(stretches.at(-1)?.lines).toBeGreaterThan(stretches[0]?.lines as number);
});

test('a line that is lost now and then is found', async () => {
  const { findings } = await soak({
    ...brief,
    seconds: 2,
    // Not one for the plain way, which notices that nothing was inserted: a refund.
    sabotage: (owner) =>
      owner.query(`
        create function public.lose() returns trigger language plpgsql as $$
        begin return null; end $$;
        create trigger lose before insert on quota.events
          for each row when (new.kind = 'refund') execute function public.lose()`),
  });
  expect(findings).toContainEqual(expect.stringMatching(/^verify_usage\(\): .*"counted"/));
});
