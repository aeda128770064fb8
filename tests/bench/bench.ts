// What a call costs.
//
//   npm run bench                                     throughput, beside a bare update and other ways
//   npm run bench -- --instructions                   instructions per call: the figure to steer by
//   npm run bench -- --instructions --only consume    one row of it (may be repeated)
//   npm run bench -- --callgrind consume              where the instructions of a row go
//
// --json FILE keeps the figures, --write-readme puts them into README.md.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatTable } from '../../scripts/table.ts';
import { measureInstructions, tableOf } from './instructions/instructions.ts';
import { markdownTable, writeReadme } from './readme.ts';

const { values } = parseArgs({
  options: {
    instructions: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    callgrind: { type: 'string' },
    json: { type: 'string' },
    'write-readme': { type: 'boolean', default: false },
  },
});

async function instructions(): Promise<void> {
  const { only, callgrind, json } = values;
  if (only && values['write-readme'])
    throw new Error('--write-readme needs every row: leave --only out');
  const results = await measureInstructions({ only, callgrind });
  if (!results.length) return;
  const table = tableOf(results);
  console.log(`\n${formatTable(table, Object.keys(table[0] ?? {})).join('\n')}`);
  if (json) writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`);
  if (values['write-readme']) {
    const shown = table.map(({ target, 'of the target': _, ...row }) => row);
    writeReadme('instructions', markdownTable(shown));
  }
}

try {
  if (values.instructions || values.callgrind) await instructions();
  else await (await import('./throughput.ts')).measureThroughput();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
