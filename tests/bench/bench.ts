// What a call costs: throughput, and instructions per call. The knobs are in knobs.ts.
import { writeFileSync } from 'node:fs';
import { fromRoot } from '../../scripts/local/project.ts';
import { formatTable } from '../../scripts/table.ts';
import { readOptions } from '../support/options.ts';
import { drawChart } from './chart.ts';
import { measureInstructions, tableOf } from './instructions/instructions.ts';
import { knobsFor } from './knobs.ts';
import { machineLine } from './machine.ts';
import { markdownTable, writeReadme } from './readme.ts';
import { measureThroughput, type Report, rowsOf } from './throughput.ts';

const CHART = 'docs/speed.svg';

const HELP = `What a call costs.

npm run bench                                     throughput, latency and server time, in turn with
                                                  a bare update and with what applications do
npm run bench -- --large                          up to 1,000,000 subjects and 10,000,000 lines
npm run bench -- --quick                          whether it runs; the figures mean nothing
npm run bench -- --only hot                       one part: calls, hot, growth, node, rest, shared, fold, tables
npm run bench -- --instructions                   instructions per call: the figure to steer by
npm run bench -- --instructions --only consume    one row of it (may be repeated)
npm run bench -- --callgrind consume              where the instructions of a row go

--json FILE keeps the figures, --svg FILE draws them, --write-readme puts them into README.md.`;

const OPTIONS = {
  instructions: { type: 'boolean', default: false },
  only: { type: 'string', multiple: true },
  callgrind: { type: 'string' },
  quick: { type: 'boolean', default: false },
  large: { type: 'boolean', default: false },
  json: { type: 'string' },
  svg: { type: 'string' },
  'write-readme': { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h' },
} as const;

const { values } = readOptions({ options: OPTIONS }, HELP);

function keep(results: unknown): void {
  if (values.json) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
}

async function instructions(): Promise<void> {
  const results = await measureInstructions(values);
  if (!results.length) return;
  const table = tableOf(results);
  console.log(`\n${formatTable(table, Object.keys(table[0] ?? {})).join('\n')}`);
  keep(results);
  if (!values['write-readme']) return;
  const shown = table.map(({ target, 'of the target': _, ...row }) => row);
  writeReadme('instructions', markdownTable(shown));
}

async function throughput(): Promise<void> {
  const report = await measureThroughput(knobsFor(values), values.only);
  keep(report);
  if (values.svg) writeFileSync(values.svg, drawChart(report));
  if (!values['write-readme']) return;
  writeFileSync(fromRoot(CHART), drawChart(report));
  writeReadme('throughput', pageOf(report));
}

/** What the README shows: the picture, and the groups that say how fast and how exact. */
function pageOf(report: Report): string {
  const tables = report.sections
    .filter(({ id }) => ['calls', 'hot-32', 'node-hot', 'rest'].includes(id))
    .map((section) => `${section.title}:\n\n${markdownTable(rowsOf(section))}`);
  const picture = `![Calls per second beside the first of each group](${CHART})`;
  return [picture, ...tables, `Measured on ${machineLine(report.machine)}.`].join('\n\n');
}

try {
  if (values['write-readme'] && (values.only || values.quick)) {
    throw new Error('--write-readme needs a whole run: leave --only and --quick out');
  }
  if (values.help) console.log(HELP);
  else if (values.instructions || values.callgrind) await instructions();
  else await throughput();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
