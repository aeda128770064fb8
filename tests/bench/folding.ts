/** Calls beside quota.tidy(keep), which folds lines of the same subjects as long as they run. */
import type pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import type { Contender } from './rounds.ts';

/** Lines of a month that is over, each subject's like any other's. */
const OLD_LINES = `
  insert into quota.events (subject_id, event_id, at, kind, feature_id, counts_at, used_change)
    select 'user-' || 1 + i % $1::int, gen_random_uuid(), l.at, 'consume', 'ai_generation', l.at, 1
    from generate_series(1, $2::int) as i
    cross join lateral (
      select date_trunc('month', now(), 'UTC') - interval '40 days' + i * interval '1 second' as at
    ) as l`;

export function besideFolding(alone: Contender, url: string, subjects: number, lines: number) {
  return [
    alone,
    {
      name: `${alone.name}, beside tidy(keep) without a pause`,
      run: () =>
        withClient(url, async (client) => {
          await client.query(OLD_LINES, [subjects, lines]);
          await client.query(`update quota.subjects set fold_from = '-infinity'`);
          await client.query('analyze quota.events');
          const folding = foldUntil(client);
          const result = await alone.run();
          if ((await folding.stop()) === 0) throw new Error('nothing was folded meanwhile');
          return result;
        }),
    },
  ];
}

function foldUntil(client: pg.ClientBase) {
  let isOver = false;
  let folded = 0;
  const loop = (async () => {
    while (!isOver) {
      const { rows } = await client.query(`select quota.tidy('30 days')::integer as lines`);
      folded += rows[0].lines;
    }
  })();
  return {
    async stop() {
      isOver = true;
      await loop;
      return folded;
    },
  };
}
