-- "you have used 80 %": one row when a limit's threshold is crossed, written in the
-- transaction that crosses it.
create table quota.alerts (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  period_start timestamptz not null,
  threshold bigint not null,
  at timestamptz not null,
  used bigint not null,
  amount bigint not null,
  alert_id uuid not null,
  handed_at timestamptz,
  acknowledged_at timestamptz,
  member text collate "C",
  constraint alerts_pkey primary key (subject_id, alert_id),
  constraint alerts_threshold_is_1_to_100 check (threshold >= 1 and threshold <= 100)
);

comment on table quota.alerts is
  'A limit of which a threshold was crossed: once per crossing. It can be crossed again after use fell below it: by a refund, a grant, a larger plan, a gauge that went down, a new period.';

comment on column quota.alerts.used is 'Used and reserved units, after the crossing call.';

comment on column quota.alerts.amount is 'The limit at that moment.';

comment on column quota.alerts.alert_id is 'The same in each delivery, so that a receiver can tell a repeated one.';

comment on column quota.alerts.handed_at is 'When deliver_alerts() last handed it out; null: not yet.';

comment on column quota.alerts.acknowledged_at is 'When it had arrived; null: not yet, or nobody delivers.';

comment on column quota.alerts.member is
  'The member of whose cap a mark was crossed; null: it is the subject''s own limit.';

-- Serves tidy().
create index alerts_by_age on quota.alerts (acknowledged_at)
  where acknowledged_at is not null;

-- These two hold only what has not arrived. Serves deliver_alerts(): those that were never handed out first.
create index alerts_to_deliver on quota.alerts (handed_at nulls first, at)
  where acknowledged_at is null;

-- Serves acknowledge_alerts(), which is not told the subject.
create index alerts_to_acknowledge on quota.alerts (alert_id)
  where acknowledged_at is null;

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.alerts
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column period set statistics 0,
  alter column period_start set statistics 0,
  alter column threshold set statistics 0,
  alter column at set statistics 0,
  alter column used set statistics 0,
  alter column amount set statistics 0,
  alter column alert_id set statistics 0,
  alter column handed_at set statistics 0,
  alter column acknowledged_at set statistics 0,
  alter column member set statistics 0;

alter table quota.alerts enable row level security;

create policy select_own on quota.alerts
  for select to authenticated
  using (
    subject_id = any (array(select quota.subjects_of((select quota.user_id()))))
    -- Hidden features are in no view of users.
    and not feature_id = any (array(select f.feature_id from quota.features as f where f.hidden))
    -- Nor are caps of other members in those of a member.
    and (member is null or quota.sees_member(subject_id, member))
  );

create policy select_service on quota.alerts
  for select to service_role using (true);

-- Withheld: every write.
