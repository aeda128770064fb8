/** pgbouncer in front of a test database, in transaction mode, with two connections for everybody. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { withClient } from '../../scripts/local/client.ts';
import { choosePort } from '../../scripts/local/ports.ts';
import { guardChild } from '../../scripts/local/warden.ts';

export interface Pooler {
  url: string;
  stop(): Promise<void>;
}

/** `target` says who logs in, and to which database. */
export async function startPooler(target: string): Promise<Pooler> {
  const { hostname, port, username, password, pathname } = new URL(target);
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-pgbouncer-'));
  chmodSync(folder, 0o755); // pgbouncer refuses root and runs as somebody else
  const listenPort = await choosePort(undefined, '127.0.0.1');
  writeFileSync(join(folder, 'users.txt'), `"${username}" "${decodeURIComponent(password)}"\n`);
  writeFileSync(
    join(folder, 'pgbouncer.ini'),
    `[databases]
${pathname.slice(1)} = host=${hostname} port=${port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listenPort}
unix_socket_dir =
auth_type = plain
auth_file = ${folder}/users.txt
pool_mode = transaction
default_pool_size = 2
`,
  );
  const asNobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const child = spawn('pgbouncer', [join(folder, 'pgbouncer.ini')], {
    stdio: 'ignore',
    ...asNobody,
  });
  await once(child, 'spawn');
  if (child.pid) guardChild(child, 'SIGKILL');
  const url = new URL(target);
  url.port = String(listenPort);
  for (let attempt = 0; ; attempt++) {
    try {
      await withClient(url.href, (client: pg.ClientBase) => client.query('select 1'));
      break;
    } catch (error) {
      if (attempt > 50) throw error;
      await sleep(100);
    }
  }
  return {
    url: url.href,
    async stop() {
      if (child.exitCode === null && child.kill()) await once(child, 'exit');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
