/** Over HTTP, through PostgREST: a call beside an rpc that does nothing, and beside what apps do today. */
import { Agent, request } from 'node:http';
import type pg from 'pg';

export async function prepareRest(client: pg.ClientBase): Promise<void> {
  await client.query(`
    create function public.bench_nothing(feature text, amount bigint default 1, subject text default null)
    returns boolean language sql volatile as 'select true';
    create table public.bench_usage (
      user_id text not null, type text not null, count bigint not null, primary key (user_id, type)
    ) with (fillfactor = 70);
    alter table public.bench_usage enable row level security;
    grant select, insert, update on public.bench_usage to service_role;
    alter role service_role bypassrls;
    insert into public.bench_usage select subject, 'ai_generation', 0 from bench.counters;
    notify pgrst, 'reload schema'`);
}

export interface RestWay {
  name: string;
  call(subject: string): Promise<unknown>;
}

export function restWays(url: string, key: string): RestWay[] {
  const agent = new Agent({ keepAlive: true });
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const ask = (method: string, path: string, body?: object, prefer = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const sent = request(
        `${url}/${path}`,
        { method, agent, headers: { ...headers, ...prefer } },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (piece) => {
            text += piece;
          });
          answer.on('end', () => {
            if ((answer.statusCode ?? 500) < 300) return resolve(text && JSON.parse(text));
            reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
          });
        },
      );
      sent.on('error', reject);
      sent.end(body && JSON.stringify(body));
    });
  const call = (subject: string) => ({ feature: 'ai_generation', amount: 1, subject });
  return [
    {
      name: 'an rpc that does nothing',
      call: (subject) => ask('POST', 'rpc/bench_nothing', call(subject)),
    },
    { name: 'consume', call: (subject) => ask('POST', 'rpc/consume_usage', call(subject)) },
    { name: 'check', call: (subject) => ask('POST', 'rpc/check_usage', call(subject)) },
    {
      name: 'select and upsert from the app: two requests',
      async call(subject) {
        const path = `bench_usage?user_id=eq.${subject}&type=eq.ai_generation&select=count`;
        const [row] = (await ask('GET', path)) as { count: number }[];
        const count = (row?.count ?? 0) + 1;
        await ask(
          'POST',
          'bench_usage',
          { user_id: subject, type: 'ai_generation', count },
          {
            prefer: 'resolution=merge-duplicates,return=minimal',
          },
        );
      },
    },
  ];
}
