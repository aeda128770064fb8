/** Starts the server of a test run before the first test file and removes it after the last. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { guardFolder } from '../../scripts/local/warden.ts';
import { type Cluster, startCluster } from './cluster.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    cluster: Cluster;
    /** The file that node runs as `pgquota`, compiled from these sources. */
    command: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(fromRoot('tests/package/.run-command-'));
  const release = guardFolder(folder);
  const remove = () => {
    rmSync(folder, { recursive: true, force: true });
    release();
  };
  const [server, command] = await Promise.allSettled([startCluster(), compileCommand(folder)]);
  if (server.status === 'rejected' || command.status === 'rejected') {
    remove();
    if (server.status === 'rejected') throw server.reason;
    await server.value.stop();
    throw (command as PromiseRejectedResult).reason;
  }
  project.provide('cluster', server.value.cluster);
  project.provide('command', command.value);
  return async () => {
    remove();
    await server.value.stop();
  };
}

/** Once: hundreds of calls would compile it anew. In the project, since it asks for pgquota/package.json. */
async function compileCommand(folder: string): Promise<string> {
  const options = ['--outDir', folder, '--declaration', 'false', '--noCheck'];
  const { code, output } = await run(fromRoot('node_modules/.bin/tsc'), [
    ...['-p', fromRoot('tsconfig.package.json'), ...options],
  ]);
  if (code !== 0) throw new Error(`The command does not compile:\n${output}`);
  return join(folder, 'cli/main.js');
}
