/** A receiver of webhooks: checks each signature, and answers as it is told, else 204. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import type { UsageAlertEvent } from '../../types/index.ts';

export type Answer =
  | number
  | { status: number; headers: Record<string, string> }
  /** The connection stays open and nothing comes. */
  | 'silence'
  /** The connection is cut. */
  | 'cut'
  /** When this is done: 204. */
  | Promise<unknown>;

export interface Receiver {
  url: string;
  /** All that came, whatever was answered; a wrong signature would have thrown. */
  requests: { id: string; event: UsageAlertEvent }[];
  /** What was answered with 2xx. */
  arrived: string[];
  /** Wrong signatures, which must not be. */
  wrong: unknown[];
  next(...answers: Answer[]): void;
  /** For all that is not told by next(). */
  always: Answer;
  stop(): Promise<void>;
}

export async function startReceiver(secret: string): Promise<Receiver> {
  const webhook = new Webhook(secret);
  const answers: Answer[] = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    const id = String(request.headers['webhook-id']);
    try {
      const event = webhook.verify(body, request.headers as Record<string, string>);
      receiver.requests.push({ id, event: event as UsageAlertEvent });
    } catch (error) {
      receiver.wrong.push(error);
    }
    const answer = answers.shift() ?? receiver.always;
    if (answer === 'silence') return;
    if (answer === 'cut') return void request.socket.destroy();
    if (answer instanceof Promise) {
      await answer;
      return reply(response, id, 204);
    }
    if (typeof answer === 'number') return reply(response, id, answer);
    reply(response, id, answer.status, answer.headers);
  });
  const reply = (response: ServerResponse, id: string, status: number, headers = {}) => {
    if (status < 300) receiver.arrived.push(id);
    response.writeHead(status, headers).end(status === 204 ? undefined : 'x'.repeat(100_000));
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/alerts`,
    requests: [],
    arrived: [],
    wrong: [],
    next: (...more) => void answers.push(...more),
    always: 204,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}
