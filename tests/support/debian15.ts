/** A throwaway server of Debian's Postgres 15, the oldest that is promised, with its stock settings and those given. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { choosePort } from '../../scripts/local/ports.ts';
import { throwawayFolder } from '../../scripts/local/throwaway.ts';

/** Where its programs are, psql and pg_dump as well. */
export const BIN = '/usr/lib/postgresql/15/bin';

export interface Debian15 {
  port: number;
  /** As the superuser postgres, who needs no password. */
  url: string;
  stop(): void;
}

function run(program: string, args: string[]): void {
  const asNobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const { status, error, stderr } = spawnSync(join(BIN, program), args, {
    ...asNobody,
    cwd: '/',
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (error) throw new Error(`${error.message} (Debian: postgresql-15)`);
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
}

export async function startDebian15(settings = ''): Promise<Debian15> {
  const folder = throwawayFolder('pgquota-15-');
  if (process.getuid?.() === 0) chownSync(folder, 65534, 65534);
  else chmodSync(folder, 0o700);
  const data = join(folder, 'data');
  const port = await choosePort(undefined, '127.0.0.1');
  const init = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8'];
  run('initdb', ['-D', data, ...init]);
  run('pg_ctl', [
    ...['-D', data, '-l', join(folder, 'log'), '-w', 'start'],
    ...[
      '-o',
      `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off ${settings}`,
    ],
  ]);
  return {
    port,
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    stop() {
      run('pg_ctl', ['-D', data, '-m', 'immediate', 'stop']);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
