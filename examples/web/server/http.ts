/** Between Node's http and the web's Request and Response, which all endpoints here speak. */
import type { IncomingMessage, ServerResponse } from 'node:http';

export type Handler = (request: Request) => Response | Promise<Response>;

export async function serve(
  handler: Handler,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) gone.abort();
  });
  const headers = new Headers();
  for (const [name, value] of Object.entries(req.headers)) {
    for (const one of [value ?? []].flat()) headers.append(name, one);
  }
  const hasBody = req.method !== 'GET' && req.method !== 'HEAD';
  const init = {
    method: req.method,
    headers,
    body: hasBody ? bodyOf(req) : null,
    signal: gone.signal,
    duplex: 'half' as const,
  };
  const request = new Request(`http://${req.headers.host}${req.url}`, init);

  const response = await handler(request);
  res.writeHead(response.status, Object.fromEntries(response.headers));
  if (!response.body) return void res.end();
  const reader = response.body.getReader();
  res.once('close', () => reader.cancel().catch(() => {}));
  for (;;) {
    const { done, value } = await reader.read();
    if (done || res.destroyed) break;
    res.write(value);
  }
  res.end();
}

/**
 * As Readable.toWeb, but who cancels it (a body that is too large) can still answer: that one closes the
 * connection. What comes is read on and thrown away.
 */
function bodyOf(req: IncomingMessage): ReadableStream<Uint8Array> {
  const chunks = req.iterator({ destroyOnReturn: false });
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await chunks.return?.();
      req.resume();
    },
  });
}
