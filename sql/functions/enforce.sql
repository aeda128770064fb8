-- Why this exists: a refusal as an error, so that HTTP answers 402 or 429 and the transaction around
-- it rolls back.
create function quota.enforce(p_decision public.usage_decision)
returns public.usage_decision
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code text;
begin
  if p_decision.allowed then
    return p_decision;
  end if;
  v_code := case
    when p_decision.period in ('minute', 'hour') and p_decision.retry_after is not null
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

comment on function quota.enforce(public.usage_decision) is
  'Gives an allowed decision back and raises a refused one: PT429 where a minute or hour limit refuses and waiting helps, else PT402. DETAIL is the decision as JSON, HINT the upgrade url.';

revoke all on function quota.enforce(public.usage_decision)
  from public, anon, authenticated, service_role;
grant execute on function quota.enforce(public.usage_decision) to authenticated, service_role;
