-- Arguments are judged in one place, before any lock, with a code each.

create function quota.check_arguments(
  p_amount bigint,
  p_idempotency_key text,
  p_metadata jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.check_amount(p_amount);
  perform quota.check_key(p_idempotency_key);
  perform quota.check_metadata(p_metadata);
end
$$;

comment on function quota.check_arguments is
  'The arguments of a call that counts. Errors: QAMNT, QIDEM, QMETA.';

create function quota.check_known(p_feature text)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from quota.features as f where f.feature_id = p_feature) then
    raise exception 'unknown feature %', coalesce(quote_literal(left(p_feature, 100)), 'null')
      using errcode = 'QFEAT', hint = 'features come from the plan document; see plan_catalog';
  end if;
end
$$;

comment on function quota.check_known is 'Errors: QFEAT.';

-- What all calls ask that count, hold, grant or limit.
create function quota.check_feature(p_feature text)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text;
begin
  select f.kind into v_kind from quota.features as f where f.feature_id = p_feature;
  if v_kind in ('metered', 'gauge') then
    return;
  end if;
  perform quota.check_known(p_feature);
  raise exception 'feature % is a %, which is not counted', quote_literal(left(p_feature, 100)), v_kind
    using errcode = 'QFEAT', hint = 'ask check_usage() or the view entitlements; set_value() changes it';
end
$$;

comment on function quota.check_feature is 'Errors: QFEAT, unknown, or a switch or value.';

create function quota.check_amount(
  p_amount bigint,
  p_least bigint = 1
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_amount is null or p_amount not between p_least and 9007199254740991 then
    raise exception 'amount % is not a whole number from % to 9007199254740991 (2^53 - 1)',
      coalesce(p_amount::text, 'null'), p_least
      using errcode = 'QAMNT', hint = 'count fractional costs in micro-units';
  end if;
end
$$;

comment on function quota.check_amount is 'Errors: QAMNT.';

create function quota.check_key(p_idempotency_key text)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if length(p_idempotency_key) not between 1 and 255 then
    raise exception 'the idempotency key has % characters, 1 to 255 are allowed',
      length(p_idempotency_key)
      using errcode = 'QIDEM', hint = 'use a fresh uuid per logical call, and the same in its retries';
  end if;
end
$$;

comment on function quota.check_key is 'Null is no key. Errors: QIDEM.';

create function quota.check_metadata(p_metadata jsonb)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_metadata) <> 'object' then
    raise exception 'metadata is a JSON %, an object is expected', jsonb_typeof(p_metadata)
      using errcode = 'QMETA', hint = 'for example {"model": "small"}';
  end if;
  if octet_length(p_metadata::text) > 8192 then
    raise exception 'metadata has % bytes, 8192 are allowed', octet_length(p_metadata::text)
      using errcode = 'QMETA', hint = 'keep large things elsewhere and put their id here';
  end if;
end
$$;

comment on function quota.check_metadata is
  'Null is no metadata. Errors: QMETA, not an object or over 8 kB.';

-- Why somebody did it, as a line of the ledger keeps it.
create function quota.reason(p_reason text)
returns jsonb
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_metadata jsonb := jsonb_strip_nulls(jsonb_build_object('reason', p_reason));
begin
  perform quota.check_metadata(v_metadata);
  return v_metadata;
end
$$;

comment on function quota.reason is 'Metadata with a reason; null is none. Errors: QMETA over 8 kB.';

create function quota.check_instant(
  p_function text,
  p_argument text,
  p_at timestamptz
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  -- Not only finite: JSON and JavaScript write neither infinity nor years of five digits nor BC, and
  -- near the ends of Postgres' calendar an instant has no local time in some zones.
  if p_at not between '1000-01-01 00:00+00' and '9999-12-30 00:00+00' then
    raise exception '%: % is %, an instant of the years 1000 to 9999 is expected',
      p_function, p_argument, p_at
      using errcode = '22023', hint = 'for example 2027-01-31T00:00:00Z; null where it may be left out';
  end if;
end
$$;

comment on function quota.check_instant is 'Null is none. Errors: 22023, infinite or absurd.';

create function quota.check_flag(
  p_function text,
  p_argument text,
  p_flag boolean
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_flag is null then
    raise exception '%: % is null, true or false is expected', p_function, p_argument
      using errcode = '22023', hint = 'leave it out for the default';
  end if;
end
$$;

comment on function quota.check_flag is 'Errors: 22023, null.';

create function quota.reject_ttl(
  p_function text,
  p_ttl interval
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '%: ttl is %, more than nothing and at most 7 days are expected',
    p_function, coalesce(p_ttl::text, 'null')
    using errcode = '22023', hint = 'for example 15 minutes';
end
$$;

comment on function quota.reject_ttl is 'Errors: 22023.';

-- A number of a JSON document: amounts of a batch and of an import, limits of a plan document.
create function quota.is_whole(
  p_value jsonb,
  p_least bigint
)
returns boolean
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_value) is distinct from 'number' then
    return false;
  end if;
  return (p_value #>> '{}')::numeric between p_least and 9007199254740991
    and (p_value #>> '{}')::numeric % 1 = 0;
end
$$;

comment on function quota.is_whole is
  'Whether it is a whole number from p_least to 9007199254740991 (2^53 - 1).';

-- Before any lock: whom it refuses must not make others wait. take() looks again under the lock.
create function quota.check_server_only(
  p_caller quota.caller,
  p_feature_ids text[]
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_caller.is_trusted is not true and exists (
    select from quota.features as f where f.feature_id = any (p_feature_ids) and f.server_only
  ) then
    perform quota.reject_user();
  end if;
end
$$;

comment on function quota.check_server_only is
  'Errors: 42501, a user asks for a server_only feature.';

create function quota.reject_user()
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'this feature is used from the server only'
    using errcode = '42501',
      hint = 'call it from your server with the service key alone, without a user''s '
        'Authorization header';
end
$$;

comment on function quota.reject_user is 'Refuses a user a server_only feature. Errors: 42501.';

-- It stands between an organisation and its member (quota.cap_id()).
create function quota.check_separator(p_id text)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if strpos(p_id, chr(31)) > 0 then
    raise exception 'the id of a subject or user has a unit separator in it (character 31)'
      using errcode = 'QSUBJ', hint = 'ids have no control characters';
  end if;
end
$$;

comment on function quota.check_separator is 'Errors: QSUBJ.';
