/**
 * `npm run test:citus [-- races FILTERS]`: what only a Citus cluster can show. CITUS_DATABASE_URL is the address of a superuser
 * on its coordinator; its nodes must let the role pgquota_owner in (docs/scaling.md). Needs psql.
 */
import { checkMove } from './move.ts';
import { createSpread } from './nodes.ts';
import { checkRace } from './race.ts';
import { playRaces } from './races.ts';
import { report } from './report.ts';
import { checkRest } from './rest.ts';
import { checkSuites } from './suites.ts';
import { checkVerbs } from './verbs.ts';

const url = process.env.CITUS_DATABASE_URL;
if (!url) {
  console.log(
    'Nothing was tested: CITUS_DATABASE_URL is not set. It is the address of a superuser on the ' +
      'coordinator of a Citus cluster (docs/scaling.md).',
  );
  process.exit(1);
}

const [only, ...filters] = process.argv.slice(2).filter((one) => one !== '--');
if (only !== 'races') {
  const used = await createSpread(url);
  try {
    await checkMove(used);
    await checkVerbs(used);
    await checkRace(used);
    await checkRest(used);
  } finally {
    await used.drop();
  }
  // The suites expect an empty catalogue.
  const empty = await createSpread(url);
  try {
    await empty.spread();
    await checkSuites(empty);
  } finally {
    await empty.drop();
  }
  report();
}
if (!(await playRaces(url, filters))) process.exitCode = 1;
