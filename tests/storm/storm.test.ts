// Reserve, extend, commit, release, use, batch, refund, reset, grants, exceptions and plans at once, over
// the end of a month; every answer is audited. PGQUOTA_SEED repeats a storm: each session then tries the
// same again.
import { describe, expect, test } from 'vitest';
import { seedOfThisRun } from '../periods/random.ts';
import { audit } from './auditor.ts';
import { LEVELS, type Level, storm } from './storm.ts';

/** What makes a storm worth the name. A case that was never met was not tested. */
const INTERESTING = [
  'consume allowed',
  'reserve allowed',
  'a batch taken',
  'consume limit_reached',
  'reserve limit_reached',
  'batch limit_reached',
  'batch not_taken',
  'a minute that is full',
  'a commit as held',
  'a commit of less',
  'a commit of more',
  'a commit of 0',
  'a commit that is late',
  'a commit in the next month',
  'a commit that gives back to a grant',
  'over_limit by more',
  'over_limit late',
  'a commit repeated',
  'QRSRV for a commit',
  'a release',
  'a release after the end',
  'a release repeated',
  'QRSRV for a release',
  'a hold that expires',
  'a refund of a part',
  'a whole refund',
  'a refund to a grant',
  'QAMNT for a refund',
  'consume that draws from a grant',
  'reserve that draws from a grant',
  'a grant that expires',
  'a void',
  'a part of a grant taken back',
  'a downgrade below what is used',
  'an exception',
  'an exception that is cleared',
  'an exception that ends by itself',
  'consume of a part',
  'reserve of a part',
  'a hold extended',
  'a hold cut short',
  'QRSRV for a hold that is over',
  'a reset of all',
  'a reset of month',
  'a reset of minute',
  'a reset beside a hold',
  'a refund of what was forgiven',
  'QPLAN for a reset',
  'a repeated key',
  'a repeated key that was free',
  'an answer that was rolled back',
  '40001 at repeatable read',
  '40001 at serializable',
];

const STORMS = [
  ...LEVELS.map((level) => [level, [level]] as const),
  ['all three', LEVELS] as const,
];

describe('a storm', () => {
  const met: Record<string, number> = {};
  const seed = seedOfThisRun();
  console.log(`PGQUOTA_SEED=${seed}`);

  const play = (seed: number, levels: readonly Level[]) =>
    storm({ seed, levels, seconds: 3 }, async (owner, log) => {
      const result = await audit(owner, log);
      for (const [what, n] of Object.entries(result.met)) met[what] = (met[what] ?? 0) + n;
      expect(result.findings.slice(0, 10), `findings of PGQUOTA_SEED=${seed}`).toEqual([]);
    });
  const missing = () => INTERESTING.filter((what) => !met[what]);

  test.for(STORMS)('at %s admits nothing past a limit, and every answer is right', ([, levels]) =>
    play(seed, levels),
  );

  // On a slow machine sessions get round to less: then another storm is played.
  test('has met every case worth testing', { timeout: 240_000 }, async () => {
    for (let more = 1; missing().length && more <= 6; more++) await play(seed + 100 * more, LEVELS);
    console.log(met);
    expect(missing()).toEqual([]);
  });
});
