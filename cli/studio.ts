/** pgquota studio: the operator's console, until it is stopped. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startStudio } from '../studio/server/studio.ts';
import { findDatabaseUrl, placeOf } from './database.ts';
import { whenOrphaned } from './orphan.ts';
import { fromPackage } from './package.ts';
import { Problem } from './problem.ts';

/** So that an address that was kept, or a tunnel, is good again. Taken: any that is free. */
const PORT = 4646;

export async function studio(options: {
  port: number | undefined;
  isReadOnly: boolean;
  opens: boolean;
  databaseUrl: string | undefined;
}): Promise<void> {
  const databaseUrl = findDatabaseUrl(options.databaseUrl);
  const place = placeOf(databaseUrl);
  const { isReadOnly } = options;
  const page = fromPackage('dist/studio/page');
  const start = (port: number) => startStudio({ databaseUrl, place, port, isReadOnly, page });
  const started = await start(options.port ?? PORT).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error;
    if (options.port === undefined) return start(0);
    throw new Problem(
      `Port ${options.port} of 127.0.0.1 is taken.`,
      'Name another, or none: --port 0 takes any that is free.',
    );
  });
  // A closed terminal closes the output too.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const stop = new AbortController();
  await whenOrphaned(() => stop.abort());
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, () => stop.abort());

  console.log(`${place}${started.readOnly ? `, read only: ${started.readOnly}` : ''}`);
  console.log(
    `${started.address}\nThe address is the key: whoever has it can do what you can. Ctrl-C ends it.`,
  );
  if (options.opens && process.stdout.isTTY) open(started.address);
  if (!stop.signal.aborted) await once(stop.signal, 'abort');
  await started.close();
}

/** In the browser of who sits here; without one the address is printed. */
function open(address: string): void {
  const [command, ...args] =
    process.platform === 'darwin'
      ? ['open', address]
      : process.platform === 'win32'
        ? ['rundll32', 'url.dll,FileProtocolHandler', address]
        : ['xdg-open', address];
  const opener = spawn(command as string, args, { stdio: 'ignore', detached: true });
  opener.on('error', () => {});
  opener.unref();
}
