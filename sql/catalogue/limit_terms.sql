-- A limit of the plan document: a number, null (unlimited), or an object that says more: what stays for the
-- next period (rollover), and what happens past the limit (mode, ceiling, grace).

create type quota.limit_terms as (
  amount bigint,
  rollover bigint,
  mode text,
  ceiling bigint,
  grace interval
);

comment on type quota.limit_terms is 'A limit as quota.plan_limits has it.';

create function quota.limit_terms(p_limit jsonb)
returns quota.limit_terms
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_limit) <> 'object' then
    return row((p_limit #>> '{}')::numeric, null, 'hard', null, null)::quota.limit_terms;
  end if;
  return row(
    (p_limit ->> 'limit')::numeric,
    (p_limit ->> 'rollover')::numeric,
    coalesce(p_limit ->> 'mode', 'hard'),
    (p_limit ->> 'ceiling')::numeric,
    (p_limit ->> 'grace')::interval
  )::quota.limit_terms;
end
$$;

comment on function quota.limit_terms is 'What a limit of a checked document says.';

-- What is as in most limits need not say so.
create function quota.limit_content(p_terms quota.limit_terms)
returns jsonb
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object('amount', p_terms.amount) || jsonb_strip_nulls(jsonb_build_object(
    'rollover', p_terms.rollover,
    'mode', nullif(p_terms.mode, 'hard'),
    'ceiling', p_terms.ceiling,
    'grace', p_terms.grace::text
  ));
end
$$;

comment on function quota.limit_content is 'A limit, as it stands in what is compared.';

create function quota.check_plan_limit(
  p_place text,
  p_period text,
  p_limit jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_mode jsonb := coalesce(p_limit -> 'mode', '"hard"');
begin
  if jsonb_typeof(p_limit) <> 'object' then
    perform quota.check_plan_amount(p_place, p_limit, 'null for unlimited');
    return;
  end if;
  perform quota.check_plan_object(
    p_place, p_limit, array['limit', 'rollover', 'mode', 'ceiling', 'grace']
  );
  perform quota.check_plan_amount(p_place || '.limit', p_limit -> 'limit', 'null for unlimited');
  if v_mode not in ('"hard"', '"soft"', '"shadow"') then
    perform quota.reject_plans(p_place || '.mode', v_mode, '"hard", "soft" or "shadow"');
  end if;
  if p_limit -> 'limit' = 'null' and p_limit - 'limit' <> '{}' then
    perform quota.reject_plans(
      p_place, p_limit, 'no other key beside an unlimited limit, which nothing passes'
    );
  end if;
  if p_limit ? 'rollover' then
    perform quota.check_rollover(p_place || '.rollover', p_period, p_limit, v_mode);
  end if;
  if p_limit ? 'grace' then
    perform quota.check_grace(p_place || '.grace', p_period, p_limit -> 'grace', v_mode);
  end if;
  if p_limit ? 'ceiling' then
    perform quota.check_plan_amount(p_place || '.ceiling', p_limit -> 'ceiling', 'null for none');
    if not (v_mode = '"soft"' or p_limit ? 'grace') then
      perform quota.reject_plans(
        p_place || '.ceiling', p_limit -> 'ceiling', 'a ceiling only where mode is soft, or beside grace'
      );
    end if;
    if p_limit -> 'ceiling' <> 'null' and p_limit -> 'ceiling' < p_limit -> 'limit' then
      perform quota.reject_plans(
        p_place || '.ceiling', p_limit -> 'ceiling',
        'no less than the limit, ' || (p_limit ->> 'limit') || ', which it counts from 0 as well'
      );
    end if;
  end if;
end
$$;

comment on function quota.check_plan_limit is 'Judges one limit of a plan. Errors: QPLAN.';

create function quota.check_plan_amount(
  p_place text,
  p_amount jsonb,
  p_or text
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_amount is null or p_amount <> 'null' and not quota.is_whole(p_amount, 0) then
    perform quota.reject_plans(
      p_place, p_amount, 'a whole number from 0 to 9007199254740991, or ' || p_or
    );
  end if;
end
$$;

comment on function quota.check_plan_amount is 'Errors: QPLAN.';

-- What is left of a lifetime is left anyhow, and a minute is over before anybody would look.
create function quota.check_rollover(
  p_place text,
  p_period text,
  p_limit jsonb,
  p_mode jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if not quota.is_whole(p_limit -> 'rollover', 0) then
    perform quota.reject_plans(p_place, p_limit -> 'rollover', 'a whole number from 0 to 9007199254740991');
  end if;
  if p_period not in ('day', 'week', 'month', 'year') then
    perform quota.reject_plans(
      p_place, p_limit -> 'rollover', 'rollover only by the day, week, month or year'
    );
  end if;
  if p_mode = '"shadow"' then
    perform quota.reject_plans(p_place, p_limit -> 'rollover', 'no rollover of a limit in shadow');
  end if;
  if (p_limit ->> 'rollover')::numeric + (p_limit ->> 'limit')::numeric > 9007199254740991 then
    perform quota.reject_plans(
      p_place, p_limit -> 'rollover', 'at most 9007199254740991 (2^53 - 1) together with the limit'
    );
  end if;
end
$$;

comment on function quota.check_rollover is 'Errors: QPLAN.';

create function quota.check_grace(
  p_place text,
  p_period text,
  p_grace jsonb,
  p_mode jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_grace) <> 'string'
    or p_grace #>> '{}' !~ '^[1-9][0-9]{0,4} (minute|hour|day|week|month)s?$'
  then
    perform quota.reject_plans(p_place, p_grace, 'a length of time such as "12 hours" or "3 days"');
  end if;
  if p_mode <> '"hard"' then
    perform quota.reject_plans(
      p_place, p_grace, 'grace only where mode is hard; what is soft or in shadow needs none'
    );
  end if;
  if p_period ~ 'minute|hour' then
    perform quota.reject_plans(p_place, p_grace, 'grace only by the day or a longer period');
  end if;
end
$$;

comment on function quota.check_grace is 'Errors: QPLAN.';
