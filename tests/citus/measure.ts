/** What a caller waits: one session on the coordinator, warm, no company. */
import pg from 'pg';
import type { Spread } from './nodes.ts';

export async function measure(spread: Spread, state: string): Promise<void> {
  const client = new pg.Client(spread.url);
  await client.connect();
  await client.query('set role service_role');
  const timed = async (name: string, sql: string, count = 100) => {
    const times: number[] = [];
    for (let n = 0; n < count; n += 1) {
      const start = performance.now();
      await client.query(sql);
      if (n >= 10) times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    const at = (part: number) => times[Math.floor(times.length * part)]?.toFixed(1);
    console.log(`#  ${state}: ${name}: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms`);
  };
  await client.query(`
    select public.set_plan('quick', 'pro'), public.set_plan('top-${state}', 'pro'),
      public.set_parent('below-${state}', 'top-${state}'), public.consume_usage('race', 100, 'full-${state}')`);
  await timed('consume, a plain call', `select * from public.consume_usage('chat', 1, 'quick')`);
  await timed('consume, refused', `select * from public.consume_usage('race', 1, 'full-${state}')`);
  await timed(
    'consume, of a feature that costs another',
    `select * from public.consume_usage('token', 1, 'costly-${state}')`,
  );
  await timed(
    'consume, of a subject with one above it',
    `select * from public.consume_usage('chat', 1, 'below-${state}')`,
  );
  await timed('check', `select * from public.check_usage('chat', 1, 'quick')`);
  await timed(
    'current_usage of a subject',
    `select * from public.current_usage where subject = 'quick'`,
  );
  await client.end();
}
