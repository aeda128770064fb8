/** What docs/client.md shows, and what each of its servers must do. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';

/** The blocks by the file that each names in its first line; what is named twice, in the order of the page. */
export function blocksOf(path: string) {
  const page = readFileSync(fromRoot(path), 'utf8');
  const blocks = [...page.matchAll(/```ts\n\/\/ (\S+)\n(.*?)```/gs)].map(([, name, code]) => ({
    name: name as string,
    code: code as string,
  }));
  return { page, blocks };
}

/** Two are done, with headers; the third is refused, and says when to come back. */
export async function meetLimit(post: (subject: string) => Promise<Response>): Promise<void> {
  const subject = crypto.randomUUID();
  for (const left of [1, 0]) {
    const done = await post(subject);
    expect([done.status, await done.json()]).toEqual([200, { done: true }]);
    expect(done.headers.get('ratelimit-policy')).toMatch(/^"export\/month";q=2;w=\d+$/);
    expect(done.headers.get('ratelimit')).toMatch(new RegExp(`^"export/month";r=${left};t=\\d+$`));
    expect(done.headers.has('retry-after')).toBe(false);
  }
  const refused = await post(subject);
  expect(refused.status).toBe(402);
  expect(refused.headers.get('ratelimit')).toMatch(/^"export\/month";r=0;t=\d+$/);
  expect(refused.headers.get('content-type')).toMatch(/^application\/json/);
  const body = (await refused.json()) as { code: string; retry_after: number };
  expect(body).toMatchObject({
    code: 'USAGE_LIMIT_EXCEEDED',
    feature: 'export',
    used: 2,
    limit: 2,
  });
  expect(refused.headers.get('retry-after')).toBe(String(body.retry_after));
}
