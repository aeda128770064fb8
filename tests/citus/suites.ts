/**
 * The pgTAP suites where tables are spread, as the owner in one transaction each. Those that cannot be played
 * there are named with the reason: what they prove is of the engine, which is the same.
 */
import assert from 'node:assert/strict';
import { Parser, type Result } from 'tap-parser';
import { findSuites, runSuite } from '../support/suites.ts';
import type { Spread } from './nodes.ts';
import { check } from './report.ts';

export const NOT_PLAYED: Record<string, string[]> = {
  'acts as a role of the API in a transaction that the owner has written in; no node lets that role in':
    [
      'functions/commit_usage',
      'functions/consume_usage_batch',
      'functions/explain_usage',
      'functions/extend_usage',
      'functions/release_usage',
      'functions/reserve_usage',
      'functions/set_limit',
      'functions/set_plan',
      'functions/void_grant',
      'rules/costs',
      'rules/flat_reads',
      'rules/partial',
      'rules/windows',
      'views/usage_events',
    ],
  'gives what it reads of spread tables to a function or table of its own or of pgTAP, which no worker has':
    [
      'functions/fold',
      'functions/forget_subject',
      'functions/grant_usage',
      'functions/import_usage',
      'functions/limit_table',
      'functions/members',
      'functions/tidy',
      'rules/actor',
      'rules/costs_given_back',
      'rules/limit_modes',
      'rules/null_is_no',
      'rules/plan_ages',
      'views/current_usage',
    ],
  'asks by a function of its own in SQL, with whose parameters Citus makes no plan': [
    'functions/set_parent',
    'rules/caps',
  ],
  'changes all subjects by a function that says another thing each time, which no node may': [
    'functions/verify_usage',
  ],
  'asks for a function over rows of all subjects, which each node would carry out by itself': [
    'functions/set_value',
  ],
  'deletes from a view, which says no by another code there': ['views/usage_alerts'],
  'counts what one node says of its own tables': ['functions/consume_usage_many'],
  'makes roles, or changes the server, on the coordinator alone': [
    'functions/identity',
    'functions/unlimit_table',
    'rules/borrowed_rights',
    'rules/hostile_session',
    'rules/hostile_text',
  ],
  'counts calls of functions, which the superuser alone may ask for': ['rules/together'],
  'reads tables of schema quota as a user, which are closed there': ['rules/direct_access'],
  'looks at how one node plans a query': ['views/usage_overview'],
  'is of what is refused there (docs/scaling.md)': [
    'functions/follow_plan',
    'functions/merge_subjects',
    'functions/plan_impact',
    'rules/merged_terms',
    'rules/null_arguments',
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
      parser.end(await runSuite(suite, spread));
      assert.deepEqual(failed, []);
      assert.equal(count, planned);
      return `${count}`;
    });
  }
}
