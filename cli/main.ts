#!/usr/bin/env node
/**
 * The command `pgquota`: reads the arguments, runs one command, shows a Problem as plain words. A command's
 * libraries are read when it is run: half of the time of one that needs none.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { closest, distance } from 'fastest-levenshtein';
import type { Layout } from './layout.ts';
import { version } from './package.ts';
import { Problem } from './problem.ts';

const HELP = `pgquota ${version}: usage limits that Postgres itself enforces

  pgquota init [--supabase | --dbmate | --psql] [folder]
      Writes the migrations into a project, after its newest one, and plans.json to edit.
      Again after an update: adds what is new. folder is where the migrations are kept; else
      supabase/migrations (the default), db/migrations or migrations. With --database-url
      that database is looked at first, and nothing is written if it cannot take pgquota.

  pgquota plans <file> [--dry-run] [--impact]
      Checks a plan document, shows what it changes, and changes it. --dry-run changes nothing;
      --impact neither, and shows who has used more than a new limit will allow, and from when on.

  pgquota types <file> [target]
      TypeScript of what a plan document names: features, switches, values and their types,
      periods, plans. Printed, or written to target. Asks no database.

  pgquota doctor [--sql]
      Checks a database, says what is wrong and what to do. Exit code 1 when something is.
      --sql: the statements that put it right, ready for psql.

  pgquota alerts --webhook <url> [--once] [--timeout <seconds>]
      Delivers alerts (80 % and 100 % of a limit, or the features' own) to an address of yours, signed with
      PGQUOTA_WEBHOOK_SECRET (standardwebhooks.com), each at least once, until it is stopped.
      With --once what there is now; exit code 1 when something did not arrive.

  pgquota add <part> [folder]
      Copies a part of pgquota/react into your project, with its styles, to be changed there:
      usage-indicator, paywall or pricing-table. folder: else src/components or components.

  pgquota studio [--port <port>] [--read-only] [--no-open]
      The operator's console in the browser: who is near a limit, one subject and what support does for
      it, plans, health, what happens now. On 127.0.0.1, for who has the address that it prints.

  --database-url <url>   which database; else DATABASE_URL, also from a .env file here
  --workdir <folder>     as if it were typed there
  --help, -h; --version, -v
`;

const LAYOUTS = ['supabase', 'dbmate', 'psql'] as const;
const OPTIONS: Record<string, string[]> = {
  add: [],
  init: [...LAYOUTS, 'database-url'],
  plans: ['dry-run', 'impact', 'database-url'],
  types: [],
  doctor: ['sql', 'database-url'],
  alerts: ['webhook', 'once', 'timeout', 'database-url'],
  studio: ['port', 'read-only', 'no-open', 'database-url'],
};
const EVERYWHERE = ['workdir', 'help', 'version'];

async function main(): Promise<number> {
  const { values, positionals } = readArguments();
  const [command, ...operands] = positionals;
  const databaseUrl = values['database-url'];
  const operand = (name: string) => {
    if (operands.length > 1) throw usage(`${command} takes one ${name}, not ${operands.length}`);
    return operands[0];
  };
  if (values.version) {
    console.log(version);
    return 0;
  }
  if (values.help || command === undefined || command === 'help') {
    console.log(HELP);
    return values.help || command ? 0 : 2;
  }
  const known = OPTIONS[command];
  const foreign = Object.keys(values).find(
    (name) => ![...EVERYWHERE, ...(known ?? [])].includes(name),
  );
  if (known && foreign) throw usage(`${command} has no option --${foreign}`);
  const typedIn = process.cwd();
  if (values.workdir !== undefined) enter(values.workdir);
  switch (command) {
    case 'init': {
      const { init } = await import('./init.ts');
      const layouts = LAYOUTS.filter((name) => values[name]);
      if (layouts.length > 1) throw usage(`--${layouts.join(' and --')} exclude each other`);
      const layout: Layout = layouts[0] ?? 'supabase';
      await init({ layout, folder: operand('folder'), databaseUrl, typedIn });
      return 0;
    }
    case 'add': {
      const { add, PARTS } = await import('./add.ts');
      const [part, folder] = operands;
      if (!part) throw usage(`add needs a part: ${PARTS.join(', ')}`);
      if (operands.length > 2) throw usage(`add takes a part and a folder, not ${operands.length}`);
      add(part, folder);
      return 0;
    }
    case 'plans': {
      const { plans } = await import('./plans.ts');
      const file = operand('file');
      if (!file) throw usage('plans needs a file: npx pgquota plans plans.json');
      const { 'dry-run': dryRun = false, impact = false } = values;
      await plans(file, { dryRun: dryRun || impact, impact, databaseUrl });
      return 0;
    }
    case 'types': {
      const { types } = await import('./types.ts');
      const [file, target] = operands;
      if (!file) throw usage('types needs a file: npx pgquota types plans.json plans.types.ts');
      if (operands.length > 2)
        throw usage(`types takes a file and a target, not ${operands.length}`);
      types(file, target);
      return 0;
    }
    case 'doctor': {
      if (operands.length) throw usage(`doctor takes no ${operands[0]}`);
      const { doctor } = await import('./doctor.ts');
      return (await doctor(databaseUrl, { asSql: values.sql ?? false })) ? 0 : 1;
    }
    case 'alerts': {
      if (operands.length) throw usage(`alerts takes no ${operands[0]}`);
      const [{ alerts }, { LONGEST_TIMEOUT }] = await Promise.all([
        import('./alerts.ts'),
        import('./webhook.ts'),
      ]);
      const { webhook, once = false, timeout = '15' } = values;
      if (!webhook) throw usage('alerts needs an address: npx pgquota alerts --webhook https://…');
      const seconds = Number(timeout);
      if (!Number.isInteger(seconds) || seconds < 1 || seconds > LONGEST_TIMEOUT) {
        throw usage(`--timeout is ${timeout}; 1 to ${LONGEST_TIMEOUT} seconds are possible`);
      }
      return (await alerts({ webhook, once, timeout: seconds, databaseUrl })) ? 0 : 1;
    }
    case 'studio': {
      if (operands.length) throw usage(`studio takes no ${operands[0]}`);
      const { studio } = await import('./studio.ts');
      const { port, 'read-only': isReadOnly = false, 'no-open': staysClosed = false } = values;
      if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) < 65_536)) {
        throw usage(`--port is ${port}; 0 (any that is free) to 65535 are possible`);
      }
      await studio({
        port: port === undefined ? undefined : Number(port),
        ...{ isReadOnly, opens: !staysClosed, databaseUrl },
      });
      return 0;
    }
    default:
      throw usage(`there is no command ${command}${meant(command, Object.keys(OPTIONS))}`);
  }
}

function enter(workdir: string): void {
  if (!existsSync(workdir)) throw usage(`there is no folder ${workdir}, which --workdir names`);
  process.chdir(workdir);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        'database-url': { type: 'string' },
        'dry-run': { type: 'boolean' },
        impact: { type: 'boolean' },
        supabase: { type: 'boolean' },
        dbmate: { type: 'boolean' },
        psql: { type: 'boolean' },
        webhook: { type: 'string' },
        once: { type: 'boolean' },
        timeout: { type: 'string' },
        sql: { type: 'boolean' },
        port: { type: 'string' },
        'read-only': { type: 'boolean' },
        'no-open': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
        workdir: { type: 'string' },
      },
    });
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    const [, option] = /^Unknown option '(-[^']*)'/.exec(message) ?? [];
    if (code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION' || !option) throw usage(message);
    const command = process.argv.slice(2).find((argument) => Object.hasOwn(OPTIONS, argument));
    const known = command ? OPTIONS[command] : Object.values(OPTIONS).flat();
    const names = [...EVERYWHERE, ...(known ?? [])].map((name) => `--${name}`);
    throw usage(`there is no option ${option}${meant(option, names)}`);
  }
}

/** `; did you mean --dry-run?` when one of them is a slip away. */
function meant(typed: string, known: string[]): string {
  const nearest = closest(typed, known);
  return distance(typed, nearest) <= Math.max(2, typed.length / 3)
    ? `; did you mean ${nearest}?`
    : '';
}

class Usage extends Problem {}

const usage = (message: string) => new Usage(message, 'pgquota --help shows the commands.');

try {
  process.exitCode = await main();
} catch (error) {
  process.exitCode = error instanceof Usage ? 2 : 1;
  if (error instanceof Problem) {
    console.error(`pgquota: ${error.message}`);
    if (error.advice) console.error(`  ${error.advice}`);
  } else {
    const { code } = error as { code?: string };
    console.error(code ? `pgquota: ${(error as Error).message} (${code})` : error);
  }
}
