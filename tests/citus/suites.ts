/**
 * The pgTAP suites where tables are spread, as the owner in one transaction each. Those that cannot be played
 * there are named with the reason: what they prove is of the engine, which is the same.
 */
import assert from 'node:assert/strict';
import { Parser, type Result } from 'tap-parser';
import { findSuites, runSuite } from '../support/suites.ts';
import type { Spread } from './nodes.ts';
import { check } from './report.ts';
import { asOwner, withoutNumbers } from './tap.ts';

export const NOT_PLAYED: Record<string, string[]> = {
  'looks for a name in whole rows as text (t::text), which Citus does not hand on': [
    'functions/forget_subject',
  ],
  'changes all subjects by a function that says another thing each time, which no node may': [
    'functions/verify_usage',
  ],
  'deletes from a view, which says no by another code there': ['views/usage_alerts'],
  'makes roles, or changes the server, as the superuser': [
    'functions/identity',
    'rules/borrowed_rights',
    'rules/hostile_session',
    'rules/hostile_text',
  ],
  'reads tables of schema quota as a user, which are closed there': ['rules/direct_access'],
  'looks at how one node plans a query': ['views/usage_overview'],
  'merges subjects on its way, which is refused there (docs/scaling.md)': [
    'functions/consume_usage_many',
    'functions/fold',
    'functions/merge_subjects',
    'rules/caps',
    'rules/caps_and_levels',
    'rules/merged_levels',
    'rules/merged_terms',
    'rules/null_arguments',
  ],
  'follows a plan column on its way, which is refused there': [
    'functions/follow_plan',
    'rules/plan_ages',
    'rules/windows',
  ],
  'looks ahead at plans that move, which is refused there': [
    'functions/plan_impact',
    'rules/rollover',
  ],
};

export async function checkSuites(spread: Spread): Promise<void> {
  const notPlayed = Object.values(NOT_PLAYED).flat();
  for (const suite of findSuites()) {
    const name = suite.name.replace('.test.sql', '');
    // Of the catalogue of one node, which citus.sql changes.
    if (name.startsWith('catalog/') || notPlayed.includes(name)) continue;
    await check(suite.name, async () => {
      const failed: string[] = [];
      let count = 0;
      let planned = 0;
      const parser = new Parser();
      parser.on('plan', ({ end }) => {
        planned = end;
      });
      parser.on('assert', ({ ok, id, name }: Result) => {
        count += 1;
        if (!ok) failed.push(`${id} ${name}`);
      });
      parser.on('bailout', (reason: string) => failed.push(reason));
      parser.end(withoutNumbers(await runSuite(suite, spread, asOwner)));
      assert.deepEqual(failed, []);
      assert.equal(count, planned);
      return `${count}`;
    });
  }
}
