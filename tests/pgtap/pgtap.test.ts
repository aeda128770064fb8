/**
 * Every pgTAP suite, each in a database of its own, with one test here for each assertion there.
 *
 * The clock hurries: between any two looks at it lies a month. A suite that minds stops it, so none
 * depends on the minute, the day or the month in which it runs.
 */
import { type FinalResults, Parser, type Result } from 'tap-parser';
import { describe, expect, test } from 'vitest';
import { hurryClock } from '../support/clock.ts';
import { createDatabase } from '../support/database.ts';
import { findSuites, runSuite, type Suite } from '../support/suites.ts';

const AT_ONCE = 3;

interface Assertion extends Result {
  /** pgTAP's comments below a failed assertion: what it had and what it wanted. */
  comments: string;
}

interface Outcome {
  suite: Suite;
  assertions: Assertion[];
  final: FinalResults;
}

// They run while this file is collected: only then is it known which assertions there are.
const suites = findSuites();
const outcomes: Outcome[] = [];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let suite = suites.shift(); suite; suite = suites.shift())
      outcomes.push(await play(suite));
  }),
);
outcomes.sort((a, b) => a.suite.name.localeCompare(b.suite.name));

describe.each(outcomes)('$suite.name', ({ assertions, final }) => {
  for (const { id, name, ok, skip, todo, comments } of assertions) {
    test(`${id} ${name}`, () => {
      if (skip || todo) expect.fail(`A skipped test is a failed test (${skip || todo})`);
      if (!ok) expect.fail(comments || 'not ok');
    });
  }

  test('runs its whole plan', () => {
    if (final.bailout) expect.fail(`An error ended it early. ${final.bailout}`);
    expect(final.plan.end, 'the plan').toBeGreaterThan(0);
    expect(assertions.length, 'assertions that ran').toBe(final.plan.end);
  });
});

async function play(suite: Suite): Promise<Outcome> {
  const database = await createDatabase();
  try {
    // What looks at the functions themselves has them as they are.
    if (!suite.name.startsWith('catalog/')) await hurryClock(await database.connect());
    return { suite, ...parse(await runSuite(suite, database)) };
  } finally {
    await database.drop();
  }
}

function parse(tap: string): { assertions: Assertion[]; final: FinalResults } {
  const assertions: Assertion[] = [];
  let final: FinalResults | undefined;
  const parser = new Parser((results) => {
    final = results;
  });
  parser.on('assert', (result: Result) => assertions.push(Object.assign(result, { comments: '' })));
  parser.on('comment', (comment: string) => {
    const last = assertions.at(-1);
    if (last) last.comments += comment;
  });
  parser.end(tap);
  if (!final) throw new Error('tap-parser gave no result');
  return { assertions, final };
}
