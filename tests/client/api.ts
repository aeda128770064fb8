/** A database of its own behind real PostgREST, and raw HTTP for what a client library would hide. */
import { connect } from 'node:net';
import type { PostgrestSingleResponse } from '@supabase/supabase-js';
import type pg from 'pg';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';

export { everythingStored } from '../support/stored.ts';

/** 21.5 days before the 1st of February; the clock stands there until a test moves it. */
export const NOON = '2026-01-10T12:00:00Z';

export const PLANS = {
  features: {
    ai_generation: { name: 'AI generations', unit: 'generation' },
    export: { name: 'Exports' },
    burst: {},
    secret: { server_only: true },
    pro_only: {},
  },
  plans: {
    free: {
      name: 'Free',
      default: true,
      upgrade_url: '/settings/billing',
      limits: {
        ai_generation: { month: 50 },
        export: { month: 5 },
        burst: { minute: 3, month: 100 },
        secret: { month: 10 },
      },
    },
    pro: {
      limits: {
        ai_generation: { month: null },
        export: { month: null },
        burst: { minute: 3 },
        pro_only: { month: 1 },
      },
    },
  },
};

export interface TestApi {
  database: TestDatabase;
  /** The superuser, for the clock and to look at what is stored. */
  owner: pg.Client;
  rest: Rest;
  stop(): Promise<void>;
}

/** `sabotage` breaks the database before PostgREST reads it; the zoo uses it. */
export async function startTestApi(
  sabotage?: (owner: pg.Client) => Promise<void>,
): Promise<TestApi> {
  const database = await createDatabase();
  try {
    const owner = await database.connect();
    await setClock(owner, NOON);
    await applyPlans(owner, PLANS);
    await sabotage?.(owner);
    const rest = await startRest(database);
    return {
      database,
      owner,
      rest,
      async stop() {
        await rest.stop();
        await database.drop();
      },
    };
  } catch (error) {
    await database.drop();
    throw error;
  }
}

/** The data of a call that must succeed. */
// biome-ignore lint/suspicious/noExplicitAny: the tests' client knows no types of this database
export function must({ data, error, status }: PostgrestSingleResponse<any>): any {
  if (error) throw new Error(`HTTP ${status}, ${error.code}: ${error.message} ${error.details}`);
  return data;
}

export interface RawResponse {
  statusLine: string;
  status: number;
  /** As they came over the wire, one a line, names in lower case. */
  headers: [string, string][];
  body: string;
}

/** Sends JSON to PostgREST itself and reads the bytes it answers: a client would parse them for us. */
export function rawPost(
  url: string,
  token: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<RawResponse> {
  const { hostname, port, pathname } = new URL(url);
  const payload = Buffer.from(JSON.stringify(body));
  // 1.0: the answer comes in one piece and ends the connection.
  const head = [
    `POST ${pathname} HTTP/1.0`,
    `Host: ${hostname}`,
    `Authorization: Bearer ${token}`,
    'Content-Type: application/json',
    `Content-Length: ${payload.length}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '\r\n',
  ].join('\r\n');
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(port), hostname, () => {
      socket.write(head);
      socket.write(payload);
    });
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => resolve(parse(Buffer.concat(chunks).toString('latin1'))));
  });
}

function parse(response: string): RawResponse {
  const end = response.indexOf('\r\n\r\n');
  // A lone line feed counts as a line end too: some proxies take it for one.
  const [statusLine = '', ...lines] = response.slice(0, end).split(/\r\n|\r|\n/);
  return {
    statusLine,
    status: Number(statusLine.split(' ')[1]),
    headers: lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
    body: response.slice(end + 4),
  };
}
