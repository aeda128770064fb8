-- Items of a batch that name whose they are: one transaction of a server for several subjects, in one step, with
-- all locks in order. Who signs in acts for itself, and names nobody.

create function quota.batch_caller(
  p_items jsonb,
  p_subject text
)
returns quota.caller
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return quota.caller_for(
    coalesce(
      p_subject,
      -- Every item names one: the batch is of the first.
      case
        when jsonb_typeof(p_items) = 'array' and quota.is_trusted()
          and not jsonb_path_exists(p_items, '$[*] ? (!exists (@.subject))')
        then p_items -> 0 ->> 'subject'
      end
    )
  );
end
$$;

comment on function quota.batch_caller is
  'Who calls a batch, and whose its key is. Errors: as caller_for().';

create function quota.batch_callers(
  p_items jsonb,
  p_caller quota.caller
)
returns quota.caller[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_item jsonb;
  v_caller quota.caller;
  v_callers quota.caller[];
begin
  if not jsonb_path_exists(p_items, '$[*] ? (exists (@.subject) || exists (@.actor))') then
    return null;
  end if;
  if p_caller.is_trusted is not true then
    raise exception 'consume_usage_batch: an item names its subject or actor'
      using errcode = '42501', hint = 'a server may; a user names the subject of the whole batch';
  end if;
  for v_item in select value from jsonb_array_elements(p_items) loop
    if jsonb_typeof(v_item -> 'subject') not in ('string', 'null')
      or jsonb_typeof(v_item -> 'actor') not in ('string', 'null')
    then
      raise exception 'consume_usage_batch: subject and actor of the item % are text', left(v_item::text, 100)
        using errcode = '22023', hint = 'for example {"feature": "export", "subject": "org_1", "actor": "user_1"}';
    end if;
    v_caller := quota.caller_for(coalesce(v_item ->> 'subject', p_caller.subject_id));
    v_callers := v_callers || quota.with_actor('consume_usage_batch', v_caller, v_item ->> 'actor');
  end loop;
  return v_callers;
end
$$;

comment on function quota.batch_callers is
  'For whom each item is; null: all for the caller of the batch. Errors: 42501, 22023, QSUBJ.';

-- A digest: the names of users stand in no key.
create function quota.callers_argument(p_callers quota.caller[])
returns jsonb
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_callers is null then
    return '{}'::jsonb;
  end if;
  return jsonb_build_object(
    'callers', encode(sha256(convert_to(to_jsonb(p_callers)::text, 'UTF8')), 'hex')
  );
end
$$;

comment on function quota.callers_argument is 'What else the key of a batch for several is bound to.';

create function quota.caps_of_calls(
  p_callers quota.caller[],
  p_feature_ids text[],
  p_at timestamptz
)
returns quota.part[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select p
    from (
      select distinct
        p_callers[least(i.n, cardinality(p_callers))] as caller, p_feature_ids[i.n] as feature_id
      from generate_subscripts(p_feature_ids, 1) as i (n)
    ) as c
    cross join lateral unnest(quota.parts_of_call(c.caller, c.feature_id, p_at)) as p
    where (c.caller).actor is not null
      and strpos(p.subject_id, chr(31)) > 0
  );
end
$$;

comment on function quota.caps_of_calls is 'All caps that the items of a batch take from; one caller: of all items.';

-- In byte order over all of them.
create function quota.lock_several(
  p_callers quota.caller[],
  p_feature_ids text[],
  out callers quota.caller[],
  out at timestamptz
)
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts quota.part[];
  v_is_moved boolean;
begin
  callers := p_callers;
  loop
    v_parts := array(
      select row(p.subject_id, p.feature_id, 1, 1, false)::quota.part
      from (
        select distinct (callers[i.n]).subject_id as subject_id, p_feature_ids[i.n] as feature_id
        from generate_subscripts(callers, 1) as i (n)
      ) as c
      cross join lateral unnest(
        coalesce(
          quota.parts_of(c.subject_id, c.feature_id),
          array[row(c.subject_id, c.feature_id, 1, 1, false)::quota.part]
        )
      ) as p
      group by p.subject_id, p.feature_id
    );
    perform quota.check_meters(v_parts);
    at := quota.lock_parts(v_parts);
    v_is_moved := false;
    for i in 1 .. cardinality(callers) loop
      v_is_moved := v_is_moved or quota.account_of((callers[i]).subject_id) <> (callers[i]).subject_id;
      callers[i].subject_id := quota.account_of((callers[i]).subject_id);
    end loop;
    exit when at is not null and not v_is_moved;
  end loop;
end
$$;

comment on function quota.lock_several is
  'lock_call() for items of several subjects: for whom each is in the end, and the time. Errors: QFEAT; 22023 more than 400 meters.';

create function quota.check_meters(p_parts quota.part[])
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if cardinality(p_parts) > 400 then
    raise exception 'this call would take from % meters (features, what they cost, at each level), at most 400 are allowed',
      cardinality(p_parts)
      using errcode = '22023', hint = 'call for fewer items, features or subjects at once';
  end if;
end
$$;

comment on function quota.check_meters is 'Errors: 22023, more than 400 parts.';
