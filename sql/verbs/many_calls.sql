-- What consume_usage_many() is given, seen at one look.

create type quota.many_calls as (
  features text[],
  amounts bigint[],
  keys text[],
  metadata jsonb[],
  actors text[]
);

comment on type quota.many_calls is
  'Calls of consume_usage_many() whose arguments are plainly good, call by call; keys, metadata and actors are null where none has one.';

-- Beside make_call(), which says what is wrong with one: this only sees that nothing is.
create function quota.calls_at_a_look(p_calls jsonb)
returns quota.many_calls
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_calls quota.many_calls;
  v_are_good boolean;
  v_are_short boolean;
begin
  select
      array_agg(s.call ->> 'feature' order by s.n),
      array_agg(case when s.is_good then coalesce((s.call ->> 'amount')::bigint, 1) end order by s.n),
      bool_and(s.is_good), bool_and(s.is_short)
    into v_calls.features, v_calls.amounts, v_are_good, v_are_short
    from (
      select c.n, c.call, c.is_short,
        coalesce(
          jsonb_typeof(c.call -> 'feature') = 'string'
          and coalesce(
            jsonb_typeof(c.call -> 'amount') = 'number' and c.call ->> 'amount' ~ '^[1-9][0-9]{0,14}$', true
          )
          and (c.is_short or quota.is_good_beside(c.call)),
          false
        ) as is_good
      from (
        select e.n, e.call, e.call - '{feature,amount}'::text[] = '{}' as is_short
        from jsonb_array_elements(p_calls) with ordinality as e (call, n)
        where jsonb_typeof(e.call) = 'object'
        -- Once for each call, not once for each use.
        offset 0
      ) as c
      offset 0
    ) as s;
  if v_are_good is not true or cardinality(v_calls.features) < jsonb_array_length(p_calls) then
    return null;
  end if;
  if not v_are_short then
    select
        array_agg(c.call ->> 'idempotency_key' order by c.n),
        array_agg(coalesce(nullif(c.call -> 'metadata', 'null'), '{}') order by c.n),
        array_agg(c.call ->> 'actor' order by c.n),
        -- A key that stands there twice is replayed the second time.
        count(c.call ->> 'idempotency_key') = count(distinct c.call ->> 'idempotency_key')
      into v_calls.keys, v_calls.metadata, v_calls.actors, v_are_good
      from jsonb_array_elements(p_calls) with ordinality as c (call, n);
  end if;
  return case when v_are_good then v_calls end;
end
$$;

comment on function quota.calls_at_a_look is
  'The calls of a document of which each is plainly good, and no key stands twice; null: look at each.';

create function quota.is_good_beside(p_call jsonb)
returns boolean
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(
      jsonb_typeof(p_call -> 'idempotency_key') = 'null'
        or jsonb_typeof(p_call -> 'idempotency_key') = 'string'
        and length(p_call ->> 'idempotency_key') between 1 and 255,
      true
    )
    and coalesce(
      jsonb_typeof(p_call -> 'metadata') = 'null'
        or jsonb_typeof(p_call -> 'metadata') = 'object'
        and octet_length((p_call -> 'metadata')::text) <= 8192,
      true
    )
    and coalesce(
      jsonb_typeof(p_call -> 'actor') = 'null'
        or jsonb_typeof(p_call -> 'actor') = 'string' and length(p_call ->> 'actor') between 1 and 255
          and strpos(p_call ->> 'actor', chr(31)) = 0,
      true
    )
    and coalesce(p_call -> 'partial' = 'false', true)
    and p_call - '{feature,amount,idempotency_key,metadata,actor,partial}'::text[] = '{}';
end
$$;

comment on function quota.is_good_beside is
  'Whether key, metadata, actor and partial of a call are plainly good, and there is nothing else.';
