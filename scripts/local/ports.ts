/** Free ports on the loopback. */
import { createServer } from 'node:net';

const tryPort = (port: number, host: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' || error.code === 'EACCES' ? resolve(undefined) : reject(error),
    );
    server.listen(port, host, () => {
      const { port: chosen } = server.address() as { port: number };
      server.close(() => resolve(chosen));
    });
  });

/** The wanted port if it is free, else one that is. */
export async function choosePort(wanted: number | undefined, host: string): Promise<number> {
  const chosen = (wanted && (await tryPort(wanted, host))) || (await tryPort(0, host));
  if (!chosen) throw new Error(`No free port on ${host}`);
  return chosen;
}
