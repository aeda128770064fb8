/**
 * The ways in which the migration gets into a database. Each gives back what it applied: an empty
 * list when there was nothing to do, which a second run must give.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileMigration } from '../build.ts';
import { withClient } from '../local/client.ts';
import { migrate } from '../local/migrate.ts';
import { cleanEnvironment, run } from '../local/processes.ts';
import { fromRoot } from '../local/project.ts';
import { runSupabase } from '../local/supabase-cli.ts';

export interface Way {
  name: string;
  install(url: string): Promise<string[]>;
  /** sql/pgquota.sql keeps no history: a second run is refused. */
  refusesSecondRun?: true;
}

const statements: Way = {
  name: 'the statements of sql/',
  refusesSecondRun: true,
  async install(url) {
    await withClient(url, (client) => client.query(compileMigration()));
    return ['sql/pgquota.sql'];
  },
};

const psql: Way = {
  name: 'psql -f sql/pgquota.sql',
  refusesSecondRun: true,
  async install(url) {
    const args = ['-X', '-q', '-f', fromRoot('sql/pgquota.sql'), url];
    const { code, output } = await run('psql', args, { env: cleanEnvironment() });
    if (code !== 0) throw new Error(output.trim());
    return ['sql/pgquota.sql'];
  },
};

const dbmate: Way = { name: 'dbmate', install: (url) => migrate(url) };

const supabase: Way = { name: 'supabase db push', install: (url) => pushBySupabase(url) };

/** `supabase db push` of a folder of migrations, as from a project that holds nothing else. */
export async function pushBySupabase(
  url: string,
  migrations = fromRoot('supabase/migrations'),
): Promise<string[]> {
  const project = mkdtempSync(join(tmpdir(), 'pgquota-push-'));
  try {
    cpSync(migrations, join(project, 'supabase/migrations'), { recursive: true });
    const { code, stdout, stderr } = await runSupabase(['db', 'push', '--yes'], url, project);
    const output = stdout + stderr;
    if (code !== 0) throw new Error(output.trim());
    return [...output.matchAll(/^Applying migration (\S+?)(?:\.{3})?$/gm)].map(
      ([, name]) => name as string,
    );
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
}

export const hasPsql = () => spawnSync('psql', ['--version'], { stdio: 'ignore' }).status === 0;

/** psql is tried where there is one; it does nothing that the statements alone do not. */
export function waysHere(): { ways: Way[]; left: string[] } {
  const isHere = hasPsql();
  return {
    ways: [statements, ...(isHere ? [psql] : []), dbmate, supabase],
    left: isHere ? [] : ['psql is not on PATH: the same statements were run without it'],
  };
}
