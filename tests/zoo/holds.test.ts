// Broken holds, batches and grants: the race tests and the storm's auditor must find each of them.
import { describe, expect, test } from 'vitest';
import {
  endedTwice,
  expiresByItself,
  firstUseOfForgotten,
  holdUnseen,
  monthEndsBeforeCommit,
  oppositeBatches,
} from '../concurrency/hold_scenarios.ts';
import { run, type Scenario } from '../concurrency/race.ts';
import { grantDuringWait, grantExpiresDuringWait } from '../concurrency/term_scenarios.ts';
import { seedOfThisRun } from '../periods/random.ts';
import { audit } from '../storm/auditor.ts';
import { storm } from '../storm/storm.ts';
import * as zoo from './hold_variants.ts';
import type { Sabotage } from './rewrite.ts';

const RACES: [string, Sabotage, Scenario, RegExp][] = [
  ['an unguarded release', zoo.unguardedRelease, endedTwice('release', 'release'), /second ending/],
  [
    'a release after the commit',
    zoo.unguardedRelease,
    endedTwice('commit', 'release'),
    /second ending/,
  ],
  ['an unguarded commit', zoo.unguardedCommit, endedTwice('commit', 'commit'), /second ending/],
  [
    'a hold that is read before the lock',
    zoo.holdReadBeforeTheLock,
    endedTwice('release', 'commit'),
    /second ending/,
  ],
  ['expiry by a job', zoo.expiryByJob, expiresByItself, /check_usage after the end/],
  [
    'a commit in its own period',
    zoo.commitInItsOwnPeriod,
    monthEndsBeforeCommit,
    /the period of the commit/,
  ],
  [
    'a hold whose end the meter does not know',
    zoo.holdBesideTheMeter,
    holdUnseen('repeatable read'),
    /a hold that has expired/,
  ],
  [
    'a meter without its subject',
    zoo.meterWithoutSubject,
    firstUseOfForgotten,
    /the subject of a meter/,
  ],
  [
    'a remembered limit that outlives a grant',
    zoo.memoryThatOutlivesTheTerms,
    grantDuringWait,
    /a caller that waits for a grant/,
  ],
  [
    'a grant without an end',
    zoo.grantsWithoutEnd,
    grantExpiresDuringWait,
    /waits while its grant expires/,
  ],
  ['a batch that does not sort', zoo.unsortedBatch, oppositeBatches, /batches in opposite order/],
];

describe('a race test catches', () => {
  test.for(RACES)('%s', async ([, sabotage, scenario, finding]) => {
    await expect(run(scenario, sabotage)).rejects.toThrow(finding);
  });
});

const STORMS: [string, Sabotage, RegExp][] = [
  ['grants used in the wrong order', zoo.lastToExpireFirst, /drawn of grant/],
  ['grants without an end', zoo.grantsWithoutEnd, /was told|passes/],
  ['a commit that passes a limit in silence', zoo.silentCommit, /over_limit/],
];

describe("the storm's auditor catches", () => {
  test.for(STORMS)('%s', { timeout: 120_000 }, async ([, sabotage, finding]) => {
    const play = (seed: number) =>
      storm(
        { seed, levels: ['read committed'], seconds: 2 },
        async (owner, log) => {
          const { findings } = await audit(owner, log);
          expect(findings, findings.join('\n')).toEqual([]);
        },
        sabotage,
      );
    // One short storm may miss it on a slow machine.
    let caught: unknown;
    for (let more = 0; !caught && more < 5; more++) {
      caught = await play(seedOfThisRun() + 100 * more).then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    expect(String(caught)).toMatch(finding);
  });
});
