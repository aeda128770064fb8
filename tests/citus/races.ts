/**
 * The races of tests/concurrency where tables are spread: the sessions of each race, in turn, on the coordinator
 * and on each worker, so that those who meet at a subject came through different nodes. On a busy computer that is all
 * nodes at once, a crowd of twenty may be told 55P03, as callers are.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fromRoot } from '../../scripts/local/project.ts';
import { createTemplate } from './clones.ts';

/** Suites, and parts of the names of tests, that do not hold there, and why. */
export const NOT_RACED: Record<string, string[]> = {
  'merges subjects, which is refused there (docs/scaling.md)': [
    'merged_levels',
    'merges',
    'who changes a subject does, and nothing is folded twice',
  ],
  'applies plans with moves, which is refused there (docs/scaling.md)': [
    'is decided by the successor of its plan',
    'while its plan is moved to another',
  ],
  'the queue is one of each node: sessions of several meet at the row alone': ['queue'],
  'no row of the catalogue is locked by a call or set_plan there: a foreign key tells whoever comes second (23503)':
    [
      'a feature whose first use is in flight is not removed',
      'the first use of a feature waits for its removal',
      'giving a value that is about to become a switch',
      'a plan that somebody is being put on is not removed',
      'set_plan waits for the removal of its plan',
    ],
  'whoever forgets a subject while it comes anew on another node is told 40P01': [
    'a first use that met the subject before it was deleted',
    'so does one that is plain',
  ],
  'what a call has locked on another node it cannot see there, so that it may be told 40P01': [
    'a parent that is set while a call waits, and somebody who has',
  ],
  'an alert is waited for there, not passed over': [
    'a deliverer skips what another is being handed',
    'forgotten while its alert is handed out',
  ],
  'the superuser makes a table of the app on the coordinator, where the owner of schema quota may not read it':
    [
      'a gauge of two teams fills the organisation',
      'one statement on a limited table, for subjects below',
      'an app with a membership table of its own',
    ],
  'the test itself locks rows of all subjects in one statement, or reads of them no column': [
    'uses that somebody gave back of meanwhile',
    'at repeatable read, where a change of plan makes all meters first',
  ],
};

const SUITES = fromRoot('tests/concurrency');

/** Whether all that were played held. A filter is a part of a suite's name. */
export async function playRaces(url: string, filters: string[]): Promise<boolean> {
  const all = readdirSync(SUITES).filter((name) => name.endsWith('.test.ts'));
  const notRaced = Object.values(NOT_RACED).flat();
  const suites = all
    .filter((name) => !notRaced.includes(name.replace('.test.ts', '')))
    .filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter)))
    .map((name) => `tests/concurrency/${name}`);
  const tests = notRaced.filter((name) => !all.includes(`${name}.test.ts`));
  const template = await createTemplate(url);
  try {
    const { status } = spawnSync(
      fromRoot('node_modules/.bin/vitest'),
      ['run', '--reporter=verbose', '-t', `^(?!.*(${tests.join('|')}))`, ...suites],
      {
        stdio: 'inherit',
        cwd: fromRoot('.'),
        env: { ...process.env, CITUS_DATABASE_URL: url, CITUS_TEMPLATE: template.name },
      },
    );
    return status === 0;
  } finally {
    await template.drop();
  }
}
