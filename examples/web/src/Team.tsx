import { createUsageClient } from 'pgquota';
import { UsageIndicator, useUsage, useUsageFormat } from 'pgquota/react';
import { useMemo, useState } from 'react';
import type { Session } from './api.ts';
import { useQuery } from './use-query.ts';

const FEATURE = 'credit';

/** What a team has, how much of it is one's own, and who used what. Nothing for who is in no team. */
export function Team({ session, team }: { session: Session; team: string }) {
  const usage = useMemo(() => createUsageClient(session.supabase), [session.supabase]);
  const { rows, refresh, answeredAt } = useUsage({ subject: team, feature: FEATURE });
  const { number } = useUsageFormat();
  const [news, setNews] = useState('');
  const [asking, setAsking] = useState(false);
  const isMember = (rows?.length ?? 0) > 0;
  const whole = rows?.find(({ member }) => member === null);
  const { rows: shares } = useQuery(async () => {
    if (!isMember) return { data: [], error: null };
    return usage.usageBreakdown({ feature: FEATURE, subject: team }).then(
      (data) => ({ data, error: null }),
      (error: unknown) => ({ data: null, error }),
    );
  }, `${isMember} ${answeredAt}`);
  if (!isMember) return null;

  async function draw(amount: number) {
    setAsking(true);
    const told = await usage
      .consumeUsage({ feature: 'image', amount, subject: team })
      .catch((error: Error) => error);
    setAsking(false);
    if (told instanceof Error) setNews('That could not be counted. Try again.');
    else if (told.allowed) setNews(`Drawn, for ${number(amount * 10)} credits.`);
    else {
      const whose =
        told.limiting_member === null
          ? 'The team has'
          : `Of your own ${number(told.limit ?? 0)} credits there are`;
      const room = told.limiting_member === null ? '' : `, of the team’s ${left(whole?.remaining)}`;
      setNews(
        `${whose} ${number(told.remaining ?? 0)} left${room}. It takes ${number(amount * 10)}.`,
      );
    }
    refresh();
  }
  const left = (remaining: number | null | undefined) => number(remaining ?? 0);

  return (
    <section className="card" aria-labelledby="team">
      <div className="card-head">
        <h2 id="team">Your team’s credits</h2>
      </div>
      <UsageIndicator subject={team} features={[FEATURE]} expected={2} />
      <div className="actions">
        {[1, 5].map((amount) => (
          <button key={amount} type="button" disabled={asking} onClick={() => draw(amount)}>
            Draw {amount === 1 ? 'an image' : `${amount} images`}
          </button>
        ))}
      </div>
      <p role="status">{news}</p>
      <table className="events">
        <caption className="hidden">Who used what</caption>
        <thead>
          <tr>
            <th scope="col">Member</th>
            <th scope="col">Credits</th>
            <th scope="col">Calls</th>
          </tr>
        </thead>
        <tbody>
          {shares?.map((share) => (
            <tr key={share.value}>
              <th scope="row">{share.value}</th>
              <td>{number(share.used)}</td>
              <td>{number(share.calls)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
