/**
 * What the client calls through, by its shape: a class of another version, or the same class as a
 * CommonJS module declares it, is a different type with the same methods.
 */
// One of them is enough, and a missing one is an error without the comment above it.
// biome-ignore lint/suspicious/noTsIgnore: no error where it is installed
/** @ts-ignore */
import type { PostgrestClient } from '@supabase/postgrest-js';
// biome-ignore lint/suspicious/noTsIgnore: no error where it is installed
/** @ts-ignore */
import type { SupabaseClient } from '@supabase/supabase-js';
import type { UsageViews } from './client.ts';

/** A SupabaseClient, a PostgrestClient, or anything with these two methods of theirs. */
export interface UsageConnection {
  rpc(name: string, args?: object): UsageRequest;
  from(view: string): unknown;
}

export interface UsageRequest extends PromiseLike<UsageAnswer> {
  abortSignal(signal: AbortSignal): PromiseLike<UsageAnswer>;
}

export interface UsageAnswer {
  data: unknown;
  /** What PostgREST says, or whatever stands in front of it. */
  error: {
    message: string;
    code?: string | null;
    details?: string | null;
    hint?: string | null;
  } | null;
  status: number;
}

/** `from` of the library that is installed, with the rows of the views. */
export type UsageFrom<Feature extends string> =
  OfSupabase<Feature> extends { from: infer From }
    ? From
    : OfPostgrest<Feature> extends { from: infer From }
      ? From
      : unknown;

// An interface has nothing of a class that is missing; an alias would be `any`.
interface OfSupabase<Feature extends string> extends SupabaseClient<UsageViews<Feature>> {}
interface OfPostgrest<Feature extends string> extends PostgrestClient<UsageViews<Feature>> {}
