/** What the page may ask: each a statement or a few, answered as JSON; refusals in the database's own words. */
import type { IncomingMessage } from 'node:http';
import { runAction } from './actions.ts';
import type { Database } from './database.ts';
import { readInstallation, readSpots, readTidy, verify } from './health.ts';
import { readChart, readLedger, readLive } from './ledger.ts';
import { createKept, readAttention, readUsage } from './overview.ts';
import { applyPlans, judge, readDocument, readImpact, readOffer } from './plans.ts';
import { Bad, refusalOf } from './refusal.ts';
import { readSession } from './session.ts';
import type { Act, Session, Unit } from './shapes.ts';
import { readMoment, readSubject } from './subject.ts';
import { readNear, readSubjects } from './subjects.ts';

/** Bytes: a plan document of thousands of limits is smaller. */
const LARGEST_BODY = 2_000_000;

type Asked = Record<string, string>;
type Answer = (asked: Asked, body: Record<string, unknown>) => Promise<unknown>;

export interface Api {
  session(): Promise<Session>;
  answer(request: IncomingMessage, url: URL): Promise<{ status: number; body: unknown }>;
}

export function createApi(
  database: Database,
  options: { place: string; isReadOnly: boolean },
): Api {
  const kept = createKept();
  const session = () => database.read((query) => readSession(query, options));

  const reads: Record<string, Answer> = {
    session,
    usage: (asked) => database.read((query) => readUsage(query, unitOf(asked), kept)),
    attention: () => database.read(readAttention),
    near: (asked) => database.read((query) => readNear(query, asked)),
    subjects: (asked) => database.read((query) => readSubjects(query, asked)),
    subject: (asked) => database.read((query) => readSubject(query, named(asked, 'subject'))),
    ledger: (asked) =>
      database.read((query) => readLedger(query, { ...asked, subject: named(asked, 'subject') })),
    chart: (asked) =>
      database.read((query) =>
        readChart(query, {
          subject: named(asked, 'subject'),
          feature: named(asked, 'feature'),
          unit: unitOf(asked),
        }),
      ),
    moment: (asked) =>
      database.read((query) =>
        readMoment(query, { subject: named(asked, 'subject'), at: named(asked, 'at') }),
      ),
    live: (asked) => database.read((query) => readLive(query, asked)),
    plans: () => database.read(readDocument),
    installation: () => database.read(readInstallation, 60),
    tidy: () => database.read(readTidy, 60),
    spots: () => database.read(readSpots),
  };
  const posts: Record<string, Answer> = {
    verify: (_, { after }) =>
      database.read((query) => verify(query, typeof after === 'string' ? after : null), 600),
    judge: (_, { text }) => judge(database, String(text)),
    impact: (_, { text }) => database.read((query) => readImpact(query, String(text)), 120),
    offer: () => readOffer(database, null),
  };
  /** These change something, if only to look at it and take it back. */
  const changes: Record<string, Answer> = {
    preview: (_, act) => runAction(database, act as unknown as Act, true),
    try: (_, { text }) => readOffer(database, String(text)),
    act: (_, act) => runAction(database, act as unknown as Act, false),
    apply: (_, { text }) => applyPlans(database, String(text)),
  };

  async function find(method: string, name: string): Promise<Answer | undefined> {
    if (method === 'GET') return Object.hasOwn(reads, name) ? reads[name] : undefined;
    if (method !== 'POST') return undefined;
    if (Object.hasOwn(posts, name)) return posts[name];
    if (!Object.hasOwn(changes, name)) return undefined;
    const { readOnly } = await session();
    if (readOnly) throw new Bad(`nothing is changed: ${readOnly}`);
    return changes[name];
  }

  return {
    session,
    async answer(request, url) {
      try {
        const method = request.method ?? 'GET';
        const found = await find(method, url.pathname.slice('/api/'.length));
        if (!found) return { status: 404, body: { message: 'there is nothing of that name' } };
        const asked = Object.fromEntries(url.searchParams);
        const body = method === 'POST' ? await bodyOf(request) : {};
        return { status: 200, body: await found(asked, body) };
      } catch (error) {
        const { status, refusal } = refusalOf(error);
        return { status, body: refusal };
      }
    },
  };
}

function named(asked: Asked, name: string): string {
  const value = asked[name];
  if (!value) throw new Bad(`${name} is missing`);
  return value;
}

function unitOf({ unit = 'hour' }: Asked): Unit {
  if (unit === 'hour' || unit === 'day' || unit === 'month') return unit;
  throw new Bad(`there is no unit ${unit}`);
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  if (!request.headers['content-type']?.startsWith('application/json')) {
    throw new Bad('the body is JSON, or nothing');
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > LARGEST_BODY) throw new Bad(`the body is over ${LARGEST_BODY} bytes`);
    chunks.push(chunk);
  }
  try {
    const body = JSON.parse(Buffer.concat(chunks).toString());
    if (body && typeof body === 'object') return body;
  } catch {}
  throw new Bad('the body is no JSON object');
}
