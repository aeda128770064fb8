// Broken variants of the limited table: each must turn a race test red, and for its own reason.
import { expect, test } from 'vitest';
import type { Scenario } from '../concurrency/race.ts';
import {
  crosswise,
  lastRowOf32,
  limitedWhileWritersWait,
  oneLinePerStatement,
  ownerChanges,
  partitionsTruncated,
  runOnFiles,
} from '../gauges/scenarios.ts';
import type { Sabotage } from './rewrite.ts';
import {
  noRecount,
  noUpdateTrigger,
  rowLevelCount,
  truncateTwice,
  unsortedSubjects,
} from './table_variants.ts';
import { checkThenAct } from './variants.ts';

const TABLES: [string, Sabotage, Scenario, RegExp][] = [
  ['that counts row by row', rowLevelCount, oneLinePerStatement, /lines of three statements/],
  ['without a trigger on update', noUpdateTrigger, ownerChanges, /rows that were given away/],
  [
    'that counts a truncate on the parent and on its leaves',
    truncateTwice,
    partitionsTruncated,
    /what truncate gives back/,
  ],
  [
    'that counts without holding the meter',
    checkThenAct,
    lastRowOf32,
    /writers at the last free row/,
  ],
  ['that locks subjects as they come', unsortedSubjects, crosswise, /deadlock/],
  [
    'that begins at zero, whatever is there',
    noRecount,
    limitedWhileWritersWait,
    /rows of both writers/,
  ],
];

test.for(TABLES)('the tests catch a table %s', async ([, sabotage, scenario, finding]) => {
  await expect(runOnFiles(scenario, sabotage)).rejects.toThrow(finding);
});
