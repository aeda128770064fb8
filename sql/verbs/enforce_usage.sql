-- Consume_usage for callers that want an error: HTTP answers 402 or 429, and a transaction around it rolls back.
create function public.enforce_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
  idempotency_key text default null,
  metadata jsonb default '{}',
  actor text default null,
  partial boolean default false
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.enforce(
    quota.consume_usage(feature, amount, subject, idempotency_key, metadata, actor, partial)
  );
end
$$;

comment on function public.enforce_usage is
  'As consume_usage, and shares its idempotency keys, but a refusal raises: PT429 (HTTP 429) where a limit of minutes or hours refuses and waiting helps, else PT402 (HTTP 402). DETAIL is the decision as JSON, HINT the upgrade url; over HTTP a Retry-After header gives the wait in seconds. Errors: PT402 and PT429 a refusal; 42501, QFEAT, QAMNT, QSUBJ, QIDEM, QMETA, 22023 and 55P03 as consume_usage.';

-- A refusal as an error, so that HTTP answers 402 or 429 and the transaction around
-- it rolls back.
create function quota.enforce(p_decision public.usage_decision)
returns public.usage_decision
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_code text;
begin
  if p_decision.allowed then
    return p_decision;
  end if;
  v_code := case
    when p_decision.period ~ 'minute|hour' and p_decision.retry_after is not null
    then 'PT429'
    else 'PT402'
  end;
  if nullif(current_setting('request.method', true), '') is not null then
    -- PostgREST's own error form, since only it can carry headers.
    raise exception using
      errcode = 'PGRST',
      message = jsonb_build_object(
        'code', v_code,
        'message', 'usage limit reached',
        'details', to_jsonb(p_decision)::text,
        'hint', p_decision.upgrade_url
      ),
      detail = jsonb_build_object(
        'status', right(v_code, 3)::integer,
        'headers', case
          when p_decision.retry_after is null then '{}'
          else jsonb_build_object('Retry-After', p_decision.retry_after::text)
        end
      );
  end if;
  -- The message is one constant: PostgREST copies that of a PT code raw into the HTTP status line,
  -- where a name with a line break would be a header of the attacker's.
  raise exception using
    errcode = v_code,
    message = 'usage limit reached',
    detail = to_jsonb(p_decision)::text,
    hint = coalesce(p_decision.upgrade_url, '');
end
$$;

comment on function quota.enforce is
  'Gives an allowed decision back and raises a refused one: PT429 where a limit of minutes or hours refuses and waiting helps, else PT402. DETAIL is the decision as JSON, HINT the upgrade url.';
