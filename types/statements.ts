// Generated from the SQL in sql/ by npm run build. Do not edit.

export interface RoutineShape {
  /** One value or object; many rows; none. */
  answer: 'one' | 'many' | 'none';
  /** The parameters and their SQL types. */
  parameters: Record<string, string>;
}

export const ROUTINES: Record<string, RoutineShape> = {
  acknowledge_alerts: { answer: 'one', parameters: { ids: 'uuid[]' } },
  add_member: { answer: 'none', parameters: { subject: 'text', user_id: 'text' } },
  apply_plans: { answer: 'many', parameters: { plans: 'jsonb', dry_run: 'boolean' } },
  check_usage: {
    answer: 'one',
    parameters: { feature: 'text', amount: 'bigint', subject: 'text' },
  },
  clear_limit: { answer: 'none', parameters: { subject: 'text', feature: 'text', period: 'text' } },
  commit_usage: {
    answer: 'one',
    parameters: { reservation_id: 'uuid', amount: 'bigint', subject: 'text', metadata: 'jsonb' },
  },
  consume_usage: {
    answer: 'one',
    parameters: {
      feature: 'text',
      amount: 'bigint',
      subject: 'text',
      idempotency_key: 'text',
      metadata: 'jsonb',
      partial: 'boolean',
    },
  },
  consume_usage_batch: {
    answer: 'many',
    parameters: { items: 'jsonb', subject: 'text', idempotency_key: 'text', metadata: 'jsonb' },
  },
  deliver_alerts: { answer: 'many', parameters: { max: 'integer' } },
  enforce_usage: {
    answer: 'one',
    parameters: {
      feature: 'text',
      amount: 'bigint',
      subject: 'text',
      idempotency_key: 'text',
      metadata: 'jsonb',
      partial: 'boolean',
    },
  },
  explain_usage: {
    answer: 'many',
    parameters: { feature: 'text', amount: 'bigint', subject: 'text' },
  },
  extend_usage: {
    answer: 'one',
    parameters: { reservation_id: 'uuid', ttl: 'interval', subject: 'text' },
  },
  forget_subject: { answer: 'one', parameters: { subject: 'text' } },
  grant_usage: {
    answer: 'one',
    parameters: {
      feature: 'text',
      amount: 'bigint',
      subject: 'text',
      expires_at: 'timestamp with time zone',
      idempotency_key: 'text',
      metadata: 'jsonb',
    },
  },
  refund_usage: {
    answer: 'one',
    parameters: {
      event_id: 'uuid',
      amount: 'bigint',
      reason: 'text',
      idempotency_key: 'text',
      subject: 'text',
    },
  },
  release_usage: { answer: 'one', parameters: { reservation_id: 'uuid', subject: 'text' } },
  remove_member: { answer: 'none', parameters: { subject: 'text', user_id: 'text' } },
  reserve_usage: {
    answer: 'one',
    parameters: {
      feature: 'text',
      amount: 'bigint',
      subject: 'text',
      ttl: 'interval',
      idempotency_key: 'text',
      metadata: 'jsonb',
      partial: 'boolean',
    },
  },
  reset_usage: {
    answer: 'one',
    parameters: {
      feature: 'text',
      subject: 'text',
      period: 'text',
      reason: 'text',
      idempotency_key: 'text',
    },
  },
  return_usage: {
    answer: 'one',
    parameters: {
      feature: 'text',
      amount: 'bigint',
      subject: 'text',
      idempotency_key: 'text',
      metadata: 'jsonb',
    },
  },
  set_limit: {
    answer: 'none',
    parameters: {
      subject: 'text',
      feature: 'text',
      period: 'text',
      limit: 'bigint',
      ends_at: 'timestamp with time zone',
    },
  },
  set_plan: {
    answer: 'none',
    parameters: {
      subject: 'text',
      plan: 'text',
      anchor: 'timestamp with time zone',
      time_zone: 'text',
      ends_at: 'timestamp with time zone',
    },
  },
  set_value: {
    answer: 'none',
    parameters: {
      subject: 'text',
      feature: 'text',
      value: 'jsonb',
      ends_at: 'timestamp with time zone',
    },
  },
  verify_installation: { answer: 'many', parameters: {} },
  verify_usage: { answer: 'many', parameters: { subject: 'text' } },
  void_grant: {
    answer: 'one',
    parameters: { grant_id: 'uuid', subject: 'text', amount: 'bigint' },
  },
};

/** The columns of the views and their types. */
export const VIEWS: Record<string, Record<string, string>> = {
  current_usage: {
    subject: 'text',
    feature: 'text',
    feature_name: 'text',
    unit: 'text',
    kind: 'text',
    plan: 'text',
    period: 'text',
    used: 'bigint',
    reserved: 'bigint',
    limit: 'bigint',
    remaining: 'bigint',
    unlimited: 'boolean',
    percent_used: 'bigint',
    period_start: 'timestamp with time zone',
    resets_at: 'timestamp with time zone',
    status: 'text',
    granted: 'bigint',
    time_zone: 'text',
  },
  entitlements: {
    subject: 'text',
    feature: 'text',
    kind: 'text',
    enabled: 'boolean',
    value: 'jsonb',
  },
  plan_catalog: {
    plan: 'text',
    plan_name: 'text',
    is_default: 'boolean',
    upgrade_url: 'text',
    feature: 'text',
    feature_name: 'text',
    unit: 'text',
    kind: 'text',
    period: 'text',
    limit: 'bigint',
    unlimited: 'boolean',
    value: 'jsonb',
  },
  usage_alerts: {
    subject: 'text',
    feature: 'text',
    period: 'text',
    period_start: 'timestamp with time zone',
    threshold: 'bigint',
    at: 'timestamp with time zone',
    used: 'bigint',
    limit: 'bigint',
    alert_id: 'uuid',
  },
  usage_events: {
    subject: 'text',
    event_id: 'uuid',
    at: 'timestamp with time zone',
    kind: 'text',
    feature: 'text',
    counts_at: 'timestamp with time zone',
    used_change: 'bigint',
    reserved_change: 'bigint',
    drawn_change: 'bigint',
    about_id: 'uuid',
    grant_id: 'uuid',
    actor: 'text',
    idempotency_key: 'text',
    metadata: 'jsonb',
  },
  usage_history: {
    subject: 'text',
    feature: 'text',
    period: 'text',
    period_start: 'timestamp with time zone',
    period_end: 'timestamp with time zone',
    used: 'bigint',
    limit: 'bigint',
  },
  usage_overview: {
    subject: 'text',
    feature: 'text',
    period: 'text',
    used: 'bigint',
    reserved: 'bigint',
    limit: 'bigint',
    remaining: 'bigint',
    unlimited: 'boolean',
    percent_used: 'bigint',
    period_start: 'timestamp with time zone',
    resets_at: 'timestamp with time zone',
    status: 'text',
  },
};
