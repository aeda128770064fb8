/** The zoo: mistakes that were made elsewhere, built into our engine one at a time. */
import { rewrite, type Sabotage } from './rewrite.ts';

/** Read, decide, write: nobody else is kept out in between. */
export const checkThenAct: Sabotage = async (owner) => {
  await rewrite(owner, 'quota.lock_meter', ['for no key update', '']);
  await rewrite(
    owner,
    'quota.consume_usage',
    [
      'p_amount <= m.ceiling',
      'p_amount <= (select c.ceiling from quota.meters as c where c.subject_id = v_subject_id and c.feature_id = p_feature)',
    ],
    // Its queue would hide it, where the callers come to it one by one.
    [
      'and pg_advisory_xact_lock(hashtextextended(v_subject_id || p_feature, 0)) is null',
      'and false',
    ],
  );
};

/** The amount allowed is the one of before the wait. */
export const limitReadBeforeTheLock: Sabotage = async (owner) => {
  await owner.query(`
    alter function quota.limits_of rename to fresh_limits_of;
    create function quota.limits_of(
      p_subject_id text, p_feature_id text, p_at timestamptz, p_plan_id text default null,
      p_is_settled boolean default false
    )
    returns quota.allowance
    language plpgsql
    stable
    as $$
    declare
      v_allowance quota.allowance := quota.fresh_limits_of(
        p_subject_id, p_feature_id, p_at, p_plan_id, p_is_settled
      );
      v_stale bigint := nullif(current_setting('zoo.stale', true), '')::bigint;
    begin
      if v_stale is not null then
        v_allowance.limits[1].amount := v_stale;
      end if;
      return v_allowance;
    end
    $$`);
  await rewrite(owner, 'quota.consume_usage', [
    /exit plainly when current_setting[^;]*;/,
    'exit plainly;',
  ]);
  await rewrite(owner, 'quota.take_properly', [
    'v_own := quota.lock_call(',
    `perform set_config('zoo.stale', (
        (quota.fresh_limits_of(p_caller.subject_id, p_feature_id, quota.clock())).limits[1].amount
      )::text, true);
      v_own := quota.lock_call(`,
  ]);
};

/** What a meter remembers is believed without a look at the catalogue. */
export const memoryWithoutVersion: Sabotage = (owner) =>
  rewrite(owner, 'quota.consume_usage', [
    'where k.version = v_meter.catalogue_version',
    'where true',
  ]);

/** set_plan() does not make the meters forget. */
export const memoryThatOutlivesThePlan: Sabotage = (owner) =>
  rewrite(owner, 'quota.write_terms', ['perform quota.forget_limits(', 'perform concat(']);

/** The time of the call, not of the decision. */
export const clockReadBeforeTheLock: Sabotage = async (owner) => {
  await rewrite(
    owner,
    'quota.consume_usage',
    [/\bv_now := quota\.clock\(\);/, 'null;'],
    ['v_now timestamptz;', 'v_now timestamptz := quota.clock();'],
  );
  await rewrite(
    owner,
    'quota.lock_meter',
    [/\bv_now := quota\.clock\(\);/, ''],
    ['v_now timestamptz;', 'v_now timestamptz := quota.clock();'],
  );
};

/** A key is looked up in everybody's ledger. */
export const unscopedKey: Sabotage = (owner) =>
  rewrite(owner, 'quota.replay', [/k\.subject_id = p_caller\.subject_id\s+and/, '']);

/** Counts first, and lets the unique key find out that it was a repetition. */
export const countedBeforeTheKey: Sabotage = async (owner) => {
  const replay = [/v_answers := quota\.replay\([^;]*;/, 'v_answers := null;'] as [RegExp, string];
  await rewrite(owner, 'quota.take_properly', replay, replay);
  await rewrite(owner, 'quota.take', [
    /if p_arguments is not null and not quota\.bind_key\([^;]*?\) then\s+return null;\s+end if;\s+perform quota\.record\(v_event\);/,
    `perform quota.record(v_event);
    if p_arguments is not null and not quota.bind_key(
      p_caller, p_idempotency_key, p_arguments, array[v_decision], p_at
    ) then
      return null;
    end if;`,
  ]);
};

/** A key is bound for good, whatever became of what it counted. */
export const keyThatOutlivesItsUse: Sabotage = (owner) =>
  rewrite(owner, 'quota.replay', [/or quota\.still_counts\([^;]*?\) is not true/, '']);

/** A line keeps the time at which it was written, before the instant it counts in. */
export const lineBeforeItsInstant: Sabotage = (owner) =>
  rewrite(owner, 'quota.record', [/greatest\(p_event\.at, p_event\.counts_at\)/, 'p_event.at']);

/** A batch of a member is judged under the locks alone. */
export const batchJudgedUnderTheLock: Sabotage = (owner) =>
  rewrite(owner, 'quota.consume_usage_batch', [
    'if v_caller.is_trusted is not true then',
    'if false then',
  ]);

/** Views as `create or replace` leaves them when the option is forgotten. */
export const ownerRightsViews: Sabotage = async (owner) => {
  for (const view of ['current_usage', 'usage_history', 'usage_events']) {
    await owner.query(`alter view public.${view} reset (security_invoker)`);
  }
};

/** A policy that lets every signed-in user read the ledger. */
export const openPolicy: Sabotage = async (owner) => {
  await owner.query(
    `create policy select_all on quota.events for select to authenticated using (true)`,
  );
  await plainEvents(owner);
};

/** usage_events without branches of its own and without its trigger: policies and rights alone hold. */
const plainEvents: Sabotage = async (owner) => {
  await owner.query(`
    drop trigger refuse_writing on public.usage_events;
    create or replace view public.usage_events with (security_invoker = true) as
    select
      subject_id as subject, event_id, at, kind, feature_id as feature, counts_at, used_change,
      reserved_change, drawn_change, about_id, grant_id, actor, idempotency_key, metadata,
      null::jsonb as over
    from quota.events`);
};

/** What `drop` and `create` leave behind on Supabase: everybody may execute. */
export const executeLeftOpen: Sabotage = async (owner) => {
  await owner.query(`grant execute on function public.check_usage to public`);
};

/** What Supabase grants by itself on each new function; revoking from public does not take it back. */
export const executeByName: Sabotage = async (owner) => {
  await owner.query('grant execute on function public.refund_usage to anon');
};

/** `create or replace` without attributes: no definer, no search_path. */
export const lostAttributes: Sabotage = async (owner) => {
  await rewrite(
    owner,
    'quota.consume_usage',
    [' SECURITY DEFINER', ''],
    [/ SET search_path TO .*/, ''],
  );
};

export const rowSecurityOff: Sabotage = async (owner) => {
  await owner.query('alter table quota.counters disable row level security');
};

export const writableLedger: Sabotage = async (owner) => {
  await owner.query('grant delete on quota.events to service_role');
};

/** `if not f()` is not taken when f answers null. */
export const nullIsYes: Sabotage = (owner) =>
  rewrite(owner, 'quota.caller_for', [
    'if quota.acts_for(v_user_id, p_subject_id) is not true then',
    'if not quota.acts_for(v_user_id, p_subject_id) then',
  ]);

/** Every bolt open at once: a user refunds itself. */
export const serverCallsOpen: Sabotage = async (owner) => {
  await owner.query(`
    grant execute on all functions in schema public, quota to authenticated;
    create or replace function quota.require_trusted() returns void
    language plpgsql as 'begin end'`);
};

/** A view over the tables that the API can write through. */
export const writableView: Sabotage = async (owner) => {
  await plainEvents(owner);
  await owner.query(`
    alter view public.usage_events reset (security_invoker);
    grant insert, update, delete on public.usage_events to authenticated`);
};

/** Each month is counted from the one before: after a February the 31st is the 28th for good. */
export const driftingMonths: Sabotage = (owner) =>
  rewrite(owner, 'quota.period_of', [
    'resets_at := quota.instant_of(v_origin + (v_n + 1) * v_unit, p_time_zone);',
    'resets_at := quota.instant_of((period_start at time zone p_time_zone) + v_unit, p_time_zone);',
  ]);

/** The calendar of whoever asks. */
export const sessionTimeZone: Sabotage = (owner) =>
  rewrite(owner, 'quota.period_of', [`p_at at time zone 'UTC'`, 'p_at::timestamp']);

/** What `at time zone` gives for a local time that happens twice. */
export const secondOfTwoTimes: Sabotage = (owner) =>
  rewrite(owner, 'quota.instant_of', [/if v_first < v_at and/, 'if false and']);
