/**
 * The pgTAP suites that can be played where tables are spread. The others look into tables as a role that no
 * node lets in, or join them with tables of their own: what they prove is of the engine, which is the same.
 */
import assert from 'node:assert/strict';
import { Parser, type Result } from 'tap-parser';
import { findSuites, runSuite } from '../support/suites.ts';
import type { Spread } from './nodes.ts';
import { check } from './report.ts';

const PLAYED = [
  'functions/apply_plans',
  'functions/check_usage',
  'functions/consume_usage',
  'functions/decide',
  'functions/enforce_usage',
  'functions/idempotency',
  'functions/period_of',
  'functions/refund_usage',
  'functions/reset_usage',
  'functions/return_usage',
  'functions/usage_breakdown',
  'rules/alert_marks',
  'rules/bad_input',
  'rules/large_sums',
  'rules/limited_partitions',
  'rules/moved_anchor',
  'rules/plan_ends',
  'rules/session_time_zone',
  'rules/short_way',
  'views/entitlements',
  'views/forecast',
  'views/plan_catalog',
  'views/usage_history',
];

export async function checkSuites(spread: Spread): Promise<void> {
  for (const suite of findSuites()) {
    if (!PLAYED.includes(suite.name.replace('.test.sql', ''))) continue;
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
