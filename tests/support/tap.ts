/**
 * Prints the raw TAP of all pgTAP suites (or of those whose name contains the argument), one after
 * the other with its name as a comment: for other TAP tools, and to look at one suite closely.
 */
import { startCluster } from './cluster.ts';
import { createDatabase } from './database.ts';
import { findSuites, runSuite } from './suites.ts';

const [wanted = ''] = process.argv.slice(2);
const { cluster, stop } = await startCluster();
try {
  for (const suite of findSuites().filter(({ name }) => name.includes(wanted))) {
    const database = await createDatabase({ cluster });
    const tap = await runSuite(suite, database);
    await database.drop();
    console.log(`# ${suite.name}\n${tap}`);
    if (/^(not ok|Bail out!)/m.test(tap)) process.exitCode = 1;
  }
} finally {
  await stop();
}
