/** The zoo's limited tables: mistakes that are made where a table counts itself. */
import { rewrite, type Sabotage } from './rewrite.ts';

/** As a row trigger does it: every row is a counter update and a ledger line. */
export const rowLevelCount: Sabotage = (owner) =>
  rewrite(
    owner,
    'quota.count_rows',
    ['sum(r.change) as change, bool_or(r.is_wrong) as is_wrong', 'r.change, r.is_wrong'],
    [/group by r\.subject_id, r\.feature_id\s+having [^\n]*/, ''],
  );

/** The path that is forgotten: a row that gets another owner. */
export const noUpdateTrigger: Sabotage = (owner) =>
  rewrite(owner, 'quota.make_triggers', [
    /execute format\(\s*'create or replace trigger pgquota_update[\s\S]*?\);/,
    '',
  ]);

/** Truncating a partitioned table fires on the table and on each leaf. */
export const truncateTwice: Sabotage = (owner) =>
  rewrite(owner, 'quota.make_triggers', ['if v_table.is_leaf then', 'if true then']);

/** Subjects of a statement are locked as they come. */
export const unsortedSubjects: Sabotage = (owner) =>
  rewrite(owner, 'quota.count_rows', [
    'order by c.subject_id collate "C", c.feature_id collate "C"',
    'order by random()',
  ]);

/** Rows that are there are not counted when the table gets its limit. */
export const noRecount: Sabotage = (owner) =>
  rewrite(owner, 'quota.limit_table', ['perform quota.recount(v_features);', '']);
