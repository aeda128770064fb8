/** Many callers of one process and one subject: each call by itself, and calls that share round trips. */
import { PostgrestClient } from '@supabase/postgrest-js';
import type pg from 'pg';
import { createUsageClient } from '../../types/index.ts';
import { createUsageClient as createOverPg } from '../../types/pg.ts';
import { fromNode } from './callers.ts';
import type { Knobs } from './knobs.ts';
import type { Contender } from './rounds.ts';

const USE = { feature: 'ai_generation', subject: 'user-1' };

type Make = (shareRoundTrips: boolean) => Pick<ReturnType<typeof createOverPg>, 'consumeUsage'>;

const pair = (knobs: Knobs, make: Make): Contender[] =>
  [false, true].map((shareRoundTrips) => {
    const usage = make(shareRoundTrips);
    return {
      name: shareRoundTrips ? 'shareRoundTrips' : 'consumeUsage, each by itself',
      run: () => fromNode(knobs, () => usage.consumeUsage(USE)),
    };
  });

export const overPg = (knobs: Knobs, pool: pg.Pool): Contender[] =>
  pair(knobs, (shareRoundTrips) => createOverPg(pool, { shareRoundTrips }));

export const overRest = (knobs: Knobs, url: string, key: string): Contender[] =>
  pair(knobs, (shareRoundTrips) => {
    const headers = { authorization: `Bearer ${key}` };
    return createUsageClient(new PostgrestClient(url, { headers }), { shareRoundTrips });
  });
