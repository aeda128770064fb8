/** The package is packed once for all test files that install it: packing empties dist/ first. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';

/** The tarball, and what lies in it. */
export interface Packed {
  tarball: string;
  files: string[];
}

declare module 'vitest' {
  export interface ProvidedContext {
    packed: Packed;
  }
}

export default async function pack(project: TestProject): Promise<() => void> {
  const home = mkdtempSync(join(tmpdir(), 'pgquota-pack-'));
  const remove = () => rmSync(home, { recursive: true, force: true });
  const { code, output } = await run('npm', ['pack', '--json', '--pack-destination', home], {
    cwd: fromRoot('.'),
    env: { ...process.env, npm_config_loglevel: 'silent' },
  });
  if (code !== 0) {
    remove();
    throw new Error(`npm pack failed:\n${output}`);
  }
  const [{ filename, files }] = JSON.parse(output.slice(output.search(/^\[/m)));
  project.provide('packed', {
    tarball: join(home, filename),
    files: files.map((file: { path: string }) => file.path),
  });
  return remove;
}
