/**
 * npm start: Postgres, PostgREST and the scene, with nothing installed but Node. Stays up until
 * Ctrl-C, then leaves nothing running. With DATABASE_URL it uses that server instead of its own.
 */
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { whenOrphaned } from '../cli/orphan.ts';
import { withClient } from './local/client.ts';
import type { Route } from './local/gateway.ts';
import { type Stack, startStack } from './local/stack.ts';
import { endGuarded } from './local/warden.ts';
import { playScene } from './scene.ts';
import { createScreen } from './screen.ts';

const HELP = `npm start -- [--once] [--port <number>]

  --once    end after the scene: with 0 if it showed what it should
  --port    where the API listens (default 54321, or another if that is taken)

  DATABASE_URL=postgres://… npm start    use that server (Postgres 15 or newer), without the example app
  POSTGREST_BIN=/path/to/postgrest       use that PostgREST`;

const screen = createScreen(process.stdout);
let stack: Stack | undefined;
let ending: Promise<void> | undefined;

/** However far the start has come: what is complete ends in good order, the rest by the warden. */
function end(): Promise<void> {
  ending ??= (async () => {
    await stack?.stop();
    await endGuarded();
  })();
  return ending;
}

let up = false;
let example: Route | undefined;
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
] as const) {
  // Twice is normal: a terminal's Ctrl-C reaches the whole group, and npm passes it on as well.
  process.on(signal, () => leave(number));
}
// npm that was killed says nothing.
const watching = whenOrphaned(() => leave(1));
async function leave(signal: number): Promise<void> {
  if (!ending && up) screen.line('\nStopping …');
  await end();
  process.exit(up ? 0 : 128 + signal);
}
// A closed terminal or pipe is no reason to leave servers behind.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

try {
  const { once, port, help } = readOptions();
  if (help) {
    console.log(HELP);
    process.exit(0);
  }
  stack = await startStack({
    databaseUrl: process.env.DATABASE_URL || undefined,
    port,
    exactPort: port !== undefined,
    log: screen.line,
    routes: [(req, res) => example?.(req, res) ?? false],
  });
  await watching;
  await introduce(stack);
  const played = await play(stack);
  if (once) {
    await end();
    process.exit(played ? 0 : 1);
  }
  up = true;
  screen.line(`\nThe API stays up at ${stack.url}/rest/v1 until Ctrl-C.`);
  if (!process.env.DATABASE_URL) await mountExample(stack);
} catch (error) {
  // A signal ends servers under a start that is still going on: its errors are of no interest.
  if (!ending) {
    screen.line('');
    console.error((error as Error).message);
    await end();
    process.exit(1);
  }
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      once: { type: 'boolean', default: false },
      port: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
    throw new Error(`--port ${values.port} is no port: it is a number from 1 to 65535`);
  }
  return { ...values, port };
}

async function introduce({ url, anonKey, serviceRoleKey, databaseUrl, userToken }: Stack) {
  const token = await userToken(`you-${randomUUID().slice(0, 8)}`);
  screen.line(`
SUPABASE_URL=${url}
SUPABASE_ANON_KEY=${anonKey}
SUPABASE_SERVICE_ROLE_KEY=${serviceRoleKey}`);
  if (!process.env.DATABASE_URL) screen.line(`DATABASE_URL=${databaseUrl}`);
  screen.line(`
Try it, as a free user (51 times):
curl ${url}/rest/v1/rpc/consume_usage \\
  -H 'apikey: ${anonKey}' \\
  -H 'Authorization: Bearer ${token}' \\
  -H 'Content-Type: application/json' \\
  -d '{"feature": "ai_generation"}'
`);
}

/** Tables of its own, so only in a database of our own. Loaded late: the scene does not wait for it. */
async function mountExample(running: Stack): Promise<void> {
  try {
    const { buildPage, prepareDatabase } = await import('../examples/web/server/prepare.ts');
    const { createExample } = await import('../examples/web/server/serve.ts');
    await Promise.all([buildPage(), withClient(running.databaseUrl, prepareDatabase)]);
    example = createExample(running).route;
    screen.line(`Open ${running.url} to see it in an app.`);
  } catch (error) {
    if (!ending) screen.line(`The example app cannot be shown: ${(error as Error).message}`);
  }
}

/** A scene that fails (other plans on a server of yours) is no reason to take the API down. */
async function play(running: Stack): Promise<boolean> {
  try {
    await playScene(running, screen);
    return true;
  } catch (error) {
    if (!ending) screen.line(`\nThe scene did not work out: ${(error as Error).message}`);
    return false;
  }
}
