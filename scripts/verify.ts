// Says what is not current: generated files against what they are generated from.
import { readFileSync } from 'node:fs';
import { compileMigration, migrationPath } from './build.ts';

const problems: string[] = [];

if (readFileSync(migrationPath, 'utf8') !== compileMigration()) {
  problems.push('supabase/migrations is not what sql/ says: run npm run build');
}

for (const problem of problems) console.error(`not current: ${problem}`);
if (problems.length === 0) console.log('verified: everything generated is current');
process.exitCode = problems.length ? 1 : 0;
