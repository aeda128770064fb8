/** The Supabase CLI against a database url: no login, no Docker, nothing written into this project. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { withoutTlsOnLoopback } from './migrate.ts';
import { cleanEnvironment } from './processes.ts';

export interface CliResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** `project` is the folder that holds supabase/; without it an empty one is used. */
export async function runSupabase(
  args: string[],
  url: string,
  project?: string,
): Promise<CliResult> {
  const cli = createRequire(import.meta.url).resolve('supabase/dist/supabase.js');
  const workdir = project ?? mkdtempSync(join(tmpdir(), 'pgquota-cli-'));
  try {
    const child = spawn(
      process.execPath,
      [cli, ...args, `--remote=${withoutTlsOnLoopback(url)}`, '--workdir', workdir],
      {
        env: cleanEnvironment({ SUPABASE_TELEMETRY_DISABLED: '1' }),
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const ended = new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    const [stdout, stderr, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      ended,
    ]);
    return { code, stdout, stderr };
  } finally {
    if (!project) rmSync(workdir, { recursive: true, force: true });
  }
}
