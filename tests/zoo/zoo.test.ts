// Who tests the tests: each broken variant of the engine must turn a test red, and for its own reason.
import { beforeAll, describe, expect, test } from 'vitest';
import { startTestApi } from '../client/api.ts';
import {
  type AccessScenario,
  functionsAreClosed,
  strangersAreNobody,
  usersSeeOnlyThemselves,
  viewsRefuseWrites,
} from '../client/scenarios.ts';
import {
  clockSetBack,
  keyOfADeadHold,
  refusedBatchHoldsNothing,
} from '../concurrency/attack_scenarios.ts';
import { run, type Scenario } from '../concurrency/race.ts';
import {
  featureLostDuringWait,
  lastUnitOfFifty,
  limitLoweredDuringWait,
  rollOverDuringWait,
  sameKeyAtOnce,
  sameKeyOfTwoSubjects,
} from '../concurrency/scenarios.ts';
import { randomFrom } from '../periods/random.ts';
import { differences, SESSION_ZONES, sample } from '../periods/samples.ts';
import { createDatabase } from '../support/database.ts';
import { findSuites, runSuite } from '../support/suites.ts';
import type { Sabotage } from './rewrite.ts';
import * as zoo from './variants.ts';

const RACES: [string, Sabotage, Scenario, RegExp][] = [
  ['check, then act', zoo.checkThenAct, lastUnitOfFifty, /callers allowed at the last unit/],
  [
    'a limit read before the lock',
    zoo.limitReadBeforeTheLock,
    limitLoweredDuringWait,
    /limit that was lowered during the wait/,
  ],
  [
    'a remembered limit without its edition of the catalogue',
    zoo.memoryWithoutVersion,
    limitLoweredDuringWait,
    /limit that was lowered during the wait/,
  ],
  [
    'a remembered limit that outlives a change of plan',
    zoo.memoryThatOutlivesThePlan,
    featureLostDuringWait,
    /feature that the new plan lacks/,
  ],
  [
    'a clock read before the lock',
    zoo.clockReadBeforeTheLock,
    rollOverDuringWait('month', '2026-01-31T23:59:50Z', '2026-02-01T00:00:05Z'),
    /the period of a call that waited/,
  ],
  ['an unscoped key', zoo.unscopedKey, sameKeyOfTwoSubjects, /another subject's key/],
  [
    'a use counted before its key is known to be free',
    zoo.countedBeforeTheKey,
    sameKeyAtOnce,
    /use of a repeated key/,
  ],
  [
    'a key that outlives its use',
    zoo.keyThatOutlivesItsUse,
    keyOfADeadHold,
    /the key of a released hold/,
  ],
  [
    'a line before the instant it counts in',
    zoo.lineBeforeItsInstant,
    clockSetBack,
    /lines of a clock that was set back/,
  ],
  [
    "a member's batch that is judged under the locks",
    zoo.batchJudgedUnderTheLock,
    refusedBatchHoldsNothing,
    /what a refused batch of a member holds/,
  ],
];

describe('a race test catches', () => {
  test.for(RACES)('%s', async ([, sabotage, scenario, finding]) => {
    await expect(run(scenario, sabotage)).rejects.toThrow(finding);
  });
});

const DOORS: [string, Sabotage, AccessScenario, RegExp][] = [
  [
    "views with their owner's rights",
    zoo.ownerRightsViews,
    usersSeeOnlyThemselves,
    /subjects that alice sees in usage_history/,
  ],
  [
    'a policy that shows the ledger to everybody',
    zoo.openPolicy,
    usersSeeOnlyThemselves,
    /subjects that alice sees in usage_events/,
  ],
  [
    "the server's functions open to users",
    zoo.serverCallsOpen,
    functionsAreClosed,
    /a user calls \w+/,
  ],
  [
    'a helper whose null is taken for a yes',
    zoo.nullIsYes,
    strangersAreNobody,
    /a stranger calls \w+/,
  ],
  [
    'a view that is written through',
    zoo.writableView,
    viewsRefuseWrites,
    /user may not \w+ on usage_events/,
  ],
];

describe('an access test over HTTP catches', () => {
  test.for(DOORS)('%s', async ([, sabotage, scenario, finding]) => {
    const api = await startTestApi(sabotage);
    try {
      await expect(scenario(api)).rejects.toThrow(finding);
    } finally {
      await api.stop();
    }
  });
});

const CALENDARS: [string, Sabotage][] = [
  ['months that drift', zoo.driftingMonths],
  ["a period in the session's time zone", zoo.sessionTimeZone],
  ['the second of two equal local times', zoo.secondOfTwoTimes],
];

describe('the independent calendar catches', () => {
  test.for(CALENDARS)('%s', async ([, sabotage]) => {
    const database = await createDatabase();
    try {
      const owner = await database.connect();
      await sabotage(owner);
      const random = randomFrom(1);
      const samples = Array.from({ length: 2400 }, () => sample(random));
      await owner.query(`set time zone '${SESSION_ZONES[2]}'`);
      expect(await differences(owner, samples)).not.toEqual([]);
    } finally {
      await database.drop();
    }
  });
});

const RIGHTS: [string, Sabotage][] = [
  ['execute left open to everybody', zoo.executeLeftOpen],
  ['execute left open to anon by name, as Supabase grants it', zoo.executeByName],
  ["views with their owner's rights", zoo.ownerRightsViews],
  ['a function whose attributes were lost in a replacement', zoo.lostAttributes],
  ['a table without row level security', zoo.rowSecurityOff],
  ['a ledger that service_role may write', zoo.writableLedger],
];

describe('the catalogue suites catch', () => {
  let shipped: string[];
  beforeAll(async () => {
    shipped = await complaints(async () => {});
  });
  test.for(RIGHTS)('%s', async ([, sabotage]) => {
    expect(await complaints(sabotage)).not.toEqual(shipped);
  });
});

/** What the suites say that is not a plain ok: none, when all is well with what is shipped. */
async function complaints(sabotage: Sabotage): Promise<string[]> {
  const database = await createDatabase();
  try {
    await sabotage(await database.connect());
    const lines: string[] = [];
    for (const suite of findSuites().filter(({ name }) => name.startsWith('catalog/'))) {
      lines.push(...(await runSuite(suite, database)).split('\n'));
    }
    expect(lines.length).toBeGreaterThan(0);
    return lines.filter((line) => /^(not ok|Bail out!|#)/.test(line));
  } finally {
    await database.drop();
  }
}
