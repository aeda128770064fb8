/** The gateway in front of PostgREST: what supabase-js, curl and a page on the same origin rely on. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Gateway, startGateway } from '../../scripts/local/gateway.ts';

let upstream: Server;
let gateway: Gateway;

beforeAll(async () => {
  upstream = createServer((req, res) => {
    let body = '';
    req.on('data', (chunk) => {
      body += chunk;
    });
    req.on('end', () => {
      const { authorization, prefer } = req.headers;
      res.writeHead(402, 'A refusal', { 'retry-after': '7', 'content-type': 'application/json' });
      const { method, url } = req;
      res.end(JSON.stringify({ method, url, authorization, prefer, length: body.length }));
    });
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const { port } = upstream.address() as AddressInfo;
  gateway = await startGateway({
    postgrestUrl: `http://127.0.0.1:${port}`,
    routes: [
      (req, res) => {
        if (req.url !== '/page') return false;
        res.end('a page');
        return true;
      },
    ],
  });
});

afterAll(async () => {
  await gateway.stop();
  upstream.close();
});

test('passes method, path, query, headers and a large body on, and status and headers back', async () => {
  const response = await fetch(`${gateway.url}/rest/v1/rpc/f?select=a`, {
    method: 'POST',
    headers: { Authorization: 'Bearer mine', apikey: 'key', Prefer: 'count=exact' },
    body: 'x'.repeat(3_000_000),
  });
  expect(response.status).toBe(402);
  expect(response.headers.get('retry-after')).toBe('7');
  expect(await response.json()).toEqual({
    method: 'POST',
    url: '/rpc/f?select=a',
    authorization: 'Bearer mine',
    prefer: 'count=exact',
    length: 3_000_000,
  });
});

test('signs a request in with its apikey when that is all it has', async () => {
  const response = await fetch(`${gateway.url}/rest/v1`, { headers: { apikey: 'key' } });
  expect(await response.json()).toMatchObject({ url: '/', authorization: 'Bearer key' });
});

test('serves mounted routes on the same origin, and JSON for what is not there', async () => {
  expect(await (await fetch(`${gateway.url}/page`)).text()).toBe('a page');
  const missing = await fetch(`${gateway.url}/rest/v10`);
  expect(missing.status).toBe(404);
  expect(await missing.json()).toHaveProperty('message');
});

test('answers 502 when PostgREST is away', async () => {
  const lonely = await startGateway({ postgrestUrl: 'http://127.0.0.1:9' });
  expect((await fetch(`${lonely.url}/rest/v1/`)).status).toBe(502);
  await lonely.stop();
});
