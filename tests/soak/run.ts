// npm run soak -- MINUTES: the storm at length, with crashes, clock steps, new plans and an upgrade, and
// whether every number was right. --seed repeats what its sessions try, --json FILE keeps the report.
import { writeFileSync } from 'node:fs';
import { formatTable } from '../../scripts/table.ts';
import { seedOfThisRun } from '../periods/random.ts';
import { readOptions } from '../support/options.ts';
import { soak } from './soak.ts';

const USAGE = `npm run soak -- MINUTES, such as 20; 0.5 is half a minute
  --seed N       repeats what the sessions of a run try
  --sessions N   8 unless told
  --json FILE    keeps the report`;

const { values, positionals } = readOptions(
  {
    allowPositionals: true,
    options: {
      seed: { type: 'string' },
      json: { type: 'string' },
      sessions: { type: 'string', default: '8' },
    },
  },
  USAGE,
);
const minutes = Number(positionals[0] ?? 20);
if (!(minutes > 0) || positionals.length > 1) {
  console.error(USAGE);
  process.exit(2);
}
const seed = values.seed ? Number(values.seed) : seedOfThisRun();
console.log(`${minutes} minutes, ${values.sessions} sessions, seed ${seed}`);
const report = await soak({
  seconds: minutes * 60,
  sessions: Number(values.sessions),
  stretch: Math.min(30, minutes * 10),
  seed,
  say: console.log,
});
if (values.json) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);

const { stretches, findings, answers, events, hot } = report;
// The first and the last stretches side by side: nothing may have grown.
const shown = [stretches[0], stretches[Math.floor(stretches.length / 2)], stretches.at(-1)];
console.log(
  `\n${formatTable(shown as object[] as Record<string, unknown>[], Object.keys(shown[0] ?? {})).join('\n')}`,
);
const counts = (of: Record<string, number>) =>
  Object.entries(of)
    .map(([name, n]) => `  ${String(n).padStart(8)}  ${name}`)
    .join('\n');
console.log(`\nwhat happened\n${counts(events)}\n\nanswers\n${counts(answers)}`);
console.log(`\n${hot} % of the updates of meters were HOT`);
console.log(
  findings.length ? `\n${findings.length} findings\n${findings.join('\n')}` : '\nno finding',
);
process.exitCode = findings.length ? 1 : 0;
