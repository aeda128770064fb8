import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readPlanDocument } from '../../cli/plan-document.ts';
import { formatChanges } from '../../cli/plans.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { SAMPLE_PLANS } from '../support/plans.ts';
import { pgquota } from './cli.ts';

let database: TestDatabase;
let client: pg.Client;
let folder: string;
const file = 'plans.json';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pgquota-plans-'));
  database = await createDatabase();
  client = await database.connect();
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await database.drop();
});
beforeEach(() => client.query('delete from quota.plans; delete from quota.features'));

const write = (document: unknown) =>
  writeFileSync(
    join(folder, file),
    typeof document === 'string' ? document : JSON.stringify(document, null, 2),
  );

const plans = (...args: string[]) =>
  pgquota(folder, ['plans', file, ...args], { DATABASE_URL: database.url });

const catalogue = async () =>
  (await client.query('select * from public.plan_catalog order by plan, feature, period')).rows;

/** The sample with one change. */
function sample(change: (document: typeof SAMPLE_PLANS) => void): string {
  const document = structuredClone(SAMPLE_PLANS);
  change(document);
  return JSON.stringify(document, null, 2);
}

// biome-ignore lint/suspicious/noExplicitAny: documents that are wrong on purpose
const wrong = (change: (document: any) => void) => sample(change);

/** A wrong document, and what is said of it offline. The database refuses each of them as well. */
const WRONG: Record<string, [document: string, message: RegExp]> = {
  'an array': ['[]', /:1:1: top level: found \[\], expected an object with features and plans/],
  'no plans': [
    '{"features": {}}',
    /: plans: found nothing, expected an object: the id of each plan/,
  ],
  'an unknown key': [
    wrong((d) => {
      d.features.export.units = 'x';
    }),
    /plans\.json:\d+:7: features\.export\.units: found "units", expected one of the keys name, unit, kind, server_only, hidden, alerts/,
  ],
  'an unknown kind': [
    wrong((d) => {
      d.features.export.kind = 'meter';
    }),
    /features\.export\.kind: found "meter", expected "metered" .* "gauge" .* or "value"/,
  ],
  'server_only as text': [
    wrong((d) => {
      d.features.export.server_only = 'yes';
    }),
    /features\.export\.server_only: found "yes", expected true or false/,
  ],
  'alerts that are a number': [
    wrong((d) => {
      d.features.export.alerts = 80;
    }),
    /features\.export\.alerts: found 80, expected a list of different whole numbers from 1 to 100/,
  ],
  'an alert above the limit': [
    wrong((d) => {
      d.features.export.alerts = [50, 110];
    }),
    /features\.export\.alerts\.1: found 110, expected a whole number from 1 to 100/,
  ],
  'an alert at 0': [
    wrong((d) => {
      d.features.export.alerts = [0];
    }),
    /features\.export\.alerts\.0: found 0, expected a whole number/,
  ],
  'an alert as text': [
    wrong((d) => {
      d.features.export.alerts = ['80'];
    }),
    /features\.export\.alerts\.0: found "80", expected a whole number/,
  ],
  'an alert twice': [
    wrong((d) => {
      d.features.export.alerts = [80, 80];
    }),
    /features\.export\.alerts: found \[80,80\], expected a list of different/,
  ],
  'alerts of null': [
    wrong((d) => {
      d.features.export.alerts = null;
    }),
    /features\.export\.alerts: found null, expected a list/,
  ],
  'an empty name': [
    wrong((d) => {
      d.plans.free.name = '';
    }),
    /plans\.free\.name: found "", expected text of 1 to 2000 characters/,
  ],
  'a name of null': [
    wrong((d) => {
      d.plans.free.name = null;
    }),
    /plans\.free\.name: found null, expected text/,
  ],
  'a line break in a url': [
    wrong((d) => {
      d.plans.free.upgrade_url = '/a\r\nSet-Cookie: x';
    }),
    /plans\.free\.upgrade_url: found .*without control characters/,
  ],
  'an id with a control character': [
    wrong((d) => {
      d.plans['a\tb'] = { limits: {} };
    }),
    /plans\.a\tb: found "a\\tb", expected an id/,
  ],
  'an id of 256 characters': [
    wrong((d) => {
      d.features['é'.repeat(256)] = {};
    }),
    /expected an id of 1 to 255 characters/,
  ],
  'a negative limit': [
    wrong((d) => {
      d.plans.free.limits.export.month = -1;
    }),
    /plans\.free\.limits\.export\.month: found -1 \(unlimited is written null\), expected a whole number/,
  ],
  'a fraction': [
    wrong((d) => {
      d.plans.free.limits.export.month = 1.5;
    }),
    /plans\.free\.limits\.export\.month: found 1\.5, expected a whole number/,
  ],
  'a number that JSON clients cannot read': [
    wrong((d) => {
      d.plans.free.limits.export.month = 2 ** 53;
    }),
    /export\.month: found 9007199254740992, expected a whole number from 0 to 9007199254740991/,
  ],
  'a limit as text': [
    wrong((d) => {
      d.plans.free.limits.export.month = '5';
    }),
    /export\.month: found "5", expected a whole number/,
  ],
  'an unknown period': [
    wrong((d) => {
      d.plans.free.limits.export.fortnight = 5;
    }),
    /export\.fortnight: found "fortnight", expected one of the keys minute, hour, day.*, or a window as in "5 hours", "1 day"/,
  ],
  'a window in another spelling': [
    wrong((d) => {
      d.plans.free.limits.export['5 hour'] = 5;
    }),
    /plans\.json:\d+:\d+: plans\.free\.limits\.export\.5 hour: found "5 hour", expected one of the keys minute/,
  ],
  'a rollover of a window': [
    wrong((d) => {
      d.plans.free.limits.export['30 days'] = { limit: 5, rollover: 1 };
    }),
    /export\.30 days\.rollover: found "rollover", expected one of the keys limit, mode, ceiling, grace/,
  ],
  'a feature without a period': [
    wrong((d) => {
      d.plans.free.limits.export = {};
    }),
    /plans\.free\.limits\.export: found \{\}, expected an object with at least one period/,
  ],
  'a plan without limits': [
    wrong((d) => {
      delete d.plans.pro.limits;
    }),
    /plans\.pro\.limits: found nothing, expected an object: a feature and its limits/,
  ],
  'a limit on an unknown feature': [
    wrong((d) => {
      d.plans.pro.limits.exprot = { month: 5 };
    }),
    /plans\.pro\.limits\.exprot: found "exprot", expected a feature of this document/,
  ],
  'a gauge per month': [
    wrong((d) => {
      d.plans.pro.limits.kb_file = { month: 5 };
    }),
    /plans\.pro\.limits\.kb_file\.month: found "month", expected the period lifetime/,
  ],
  'a limit of a switch': [
    wrong((d) => {
      d.features.sso = { kind: 'switch' };
      d.plans.pro.limits.sso = { month: 5 };
    }),
    /plans\.json:\d+:9: plans\.pro\.limits\.sso: found "sso", expected a feature that is counted; a switch or value stands in values/,
  ],
  'a value of what is counted': [
    wrong((d) => {
      d.plans.pro.values = { export: true };
    }),
    /plans\.pro\.values\.export: found "export", expected a switch or value; what is counted stands in limits/,
  ],
  'a value of an unknown feature': [
    wrong((d) => {
      d.plans.pro.values = { soo: true };
    }),
    /plans\.pro\.values\.soo: found "soo", expected a feature of this document/,
  ],
  'a switch that is text': [
    wrong((d) => {
      d.features.sso = { kind: 'switch' };
      d.plans.pro.values = { sso: 'yes' };
    }),
    /plans\.json:\d+:9: plans\.pro\.values\.sso: found "yes", expected true or false$/,
  ],
  'a value that is null': [
    wrong((d) => {
      d.features.max_context = { kind: 'value' };
      d.plans.pro.values = { max_context: null };
    }),
    /plans\.pro\.values\.max_context: found null, expected true or false of a switch; any JSON but null/,
  ],
  'a value that JSON clients cannot read': [
    wrong((d) => {
      d.features.max_context = { kind: 'value' };
      d.plans.pro.values = { max_context: -(2 ** 53) };
    }),
    /plans\.pro\.values\.max_context: found -9007199254740992, expected .* numbers up to 9007199254740991/,
  ],
  'hidden as text': [
    wrong((d) => {
      d.features.export.hidden = 'yes';
    }),
    /features\.export\.hidden: found "yes", expected true or false/,
  ],
  'a plan that is hidden as text': [
    wrong((d) => {
      d.plans.pro.hidden = 1;
    }),
    /plans\.pro\.hidden: found 1, expected true or false/,
  ],
  'a retired default plan': [
    wrong((d) => {
      d.plans.free.retired = true;
    }),
    /plans\.free\.retired: found true, expected another default plan/,
  ],
  'a successor of a plan that is sold': [
    wrong((d) => {
      d.plans.pro.successor = 'free';
    }),
    /plans\.pro\.successor: found "free", expected "retired": true beside it/,
  ],
  'an unknown successor': [
    wrong((d) => {
      Object.assign(d.plans.pro, { retired: true, successor: 'gold' });
    }),
    /plans\.pro\.successor: found "gold", expected a plan of this document/,
  ],
  'plans that succeed each other': [
    wrong((d) => {
      Object.assign(d.plans.pro, { retired: true, successor: 'enterprise' });
      Object.assign(d.plans.enterprise, { retired: true, successor: 'pro' });
    }),
    /plans\.pro\.successor: found "enterprise", expected a plan whose successors do not lead back/,
  ],
  'moves without a successor': [
    wrong((d) => {
      Object.assign(d.plans.pro, { retired: true, moves: 'renewal' });
    }),
    /plans\.pro\.moves: found "renewal", expected a successor beside it/,
  ],
  'moves at no instant': [
    wrong((d) => {
      Object.assign(d.plans.pro, { retired: true, successor: 'free', moves: '2027-1-1' });
    }),
    /plans\.pro\.moves: found "2027-1-1", expected "never" .*"renewal" .*an instant/,
  ],
  'two default plans': [
    wrong((d) => {
      d.plans.pro.default = true;
    }),
    /plans\.pro\.default: found true, expected one default plan, and free is it already/,
  ],
};

describe.each(Object.entries(WRONG))('a document with %s', (_, [document, message]) => {
  test('is refused offline with the place, what was found and what was expected', () => {
    write(document);
    expect(() => readPlanDocument(join(folder, file))).toThrow(message);
  });

  test('is refused by the database too', async () => {
    await expect(
      client.query('select * from public.apply_plans($1)', [document]),
    ).rejects.toMatchObject({ code: 'QPLAN' });
  });
});

describe('a document that is right', () => {
  test.each([
    ['the sample', JSON.stringify(SAMPLE_PLANS)],
    [
      'one with plans that age',
      wrong((d) => {
        Object.assign(d.plans.pro, { retired: true, successor: 'enterprise', moves: 'renewal' });
        d.plans.old = {
          retired: true,
          successor: 'pro',
          moves: '2027-01-01T00:00:00+01:00',
          limits: {},
        };
      }),
    ],
    ['one with alerts', wrong((d) => Object.assign(d.features.export, { alerts: [100, 50, 1] }))],
    ['one without alerts', wrong((d) => Object.assign(d.features.export, { alerts: [] }))],
    ['the smallest', '{"features": {}, "plans": {}}'],
    ['one with a byte order mark', `\uFEFF${JSON.stringify(SAMPLE_PLANS)}`],
    [
      'one with switches, values and what is hidden',
      '{"features": {"a": {"hidden": true}, "sso": {"kind": "switch"}, "x": {"kind": "value"}, "y": {"kind": "value"}, "z": {"kind": "value"}}, "plans": {"p": {"limits": {"a": {"day": 0}}, "hidden": true, "values": {"sso": false, "x": 0.5, "y": "", "z": {"models": ["a"]}}}}}',
    ],
    [
      'one with ids of any script',
      '{"features": {"søk/日本 ~1": {}}, "plans": {"π": {"limits": {"søk/日本 ~1": {"day": 0}}}}}',
    ],
  ])('%s: accepted offline and by the database', async (_, document) => {
    write(document);
    const text = readPlanDocument(join(folder, file));
    await client.query('select * from public.apply_plans($1, true)', [text]);
    expect(JSON.parse(text)).toEqual(JSON.parse(document.replace('\uFEFF', '')));
  });
});

describe('a file that is no JSON', () => {
  test.each([
    ['nothing', '', /plans\.json:1:1: not JSON/],
    [
      'a comma too many',
      '{\n  "features": {},\n}',
      /plans\.json:3:1: not JSON: property name expected/,
    ],
    ['a comment', '{\n  // here\n}', /plans\.json:2:3: not JSON: invalid comment token/],
    [
      'a key twice',
      '{"features": {"a": {}, "a": {}}, "plans": {}}',
      /features\.a: found "a", expected each key once/,
    ],
  ])('%s: refused with line and column', (_, text, message) => {
    write(text);
    expect(() => readPlanDocument(join(folder, file))).toThrow(message);
  });
});

describe('the command', () => {
  test('several mistakes are told at once, each on its line', async () => {
    write(
      '{\n  "features": {"a": {"kind": "x"}},\n  "plans": {\n    "p": {"limits": {"a": {"month": -5}}}\n  }\n}',
    );
    const { code, output } = await plans();
    expect(output).toMatch(/plans\.json:2:\d+: features\.a\.kind: found "x"/);
    expect(output).toMatch(/plans\.json:4:\d+: plans\.p\.limits\.a\.month: found -5,/);
    expect(code).toBe(1);
  });

  test('a wrong document is refused without a database', async () => {
    write('{}');
    const { code, output } = await pgquota(folder, ['plans', file], {
      DATABASE_URL: 'postgres://u@127.0.0.1:1/app',
    });
    expect(output).toMatch(/features: found nothing/);
    expect(output).not.toMatch(/Nothing answers/);
    expect(code).toBe(1);
  });

  test('--dry-run shows what would change, in columns, and changes nothing', async () => {
    write(SAMPLE_PLANS);
    const { code, output } = await plans('--dry-run');
    expect(output).toMatch(/^ {2}\+ feature {2}ai_generation {13}.*name: "AI generations"/m);
    expect(output).toMatch(/^ {2}\+ limit {4}free\/ai_generation\/month +amount: 50$/m);
    expect(output).toContain('nothing was changed (dry run)');
    expect(await catalogue()).toEqual([]);
    expect(code).toBe(0);
  });

  test('applies the document, and once more has nothing to change', async () => {
    write(SAMPLE_PLANS);
    const { code, output } = await plans();
    expect(output).toMatch(/\d+ changes made\./);
    expect(code).toBe(0);
    expect((await catalogue()).length).toBeGreaterThan(5);
    expect((await plans()).output).toContain('Nothing to change.');
  });

  test('shows a changed limit with both amounts, and what is removed', async () => {
    write(SAMPLE_PLANS);
    await plans();
    write(
      wrong((d) => {
        d.plans.free.limits.export.month = 7;
        d.plans.free.limits.ai_generation.month = null;
        delete d.plans.enterprise;
      }),
    );
    const { output } = await plans();
    expect(output).toMatch(/^ {2}~ limit {2}free\/export\/month {10}.*amount: 5 → 7$/m);
    expect(output).toMatch(/^ {2}~ limit {2}free\/ai_generation\/month .*amount: 50 → unlimited$/m);
    expect(output).toMatch(/^ {2}- plan {3}enterprise/m);
  });

  test('shows values and what is hidden, in columns', async () => {
    write(SAMPLE_PLANS);
    await plans();
    const withValues = wrong((d) => {
      d.features.sso = { kind: 'switch' };
      d.plans.pro.values = { sso: true };
      d.plans.enterprise.hidden = true;
    });
    write(withValues);
    expect((await plans('--dry-run')).output).toMatch(/^ {2}\+ value {4}pro\/sso +value: true$/m);
    const { output } = await plans();
    expect(output).toMatch(/^ {2}~ plan {5}enterprise {2}hidden: false → true$/m);
    write(withValues.replace('"sso": true', '"sso": false'));
    expect((await plans()).output).toMatch(/^ {2}~ value {2}pro\/sso {2}value: true → false$/m);
  });

  test('says for how many subjects what changes when; --impact shows who will be over, and changes nothing', async () => {
    const limits = { ai_generation: { month: 20 }, kb_file: { lifetime: 5 } };
    const document = { ...SAMPLE_PLANS, plans: { ...SAMPLE_PLANS.plans, small: { limits } } };
    write(document);
    await plans();
    for (const subject of ['ada', 'bob', 'cy']) {
      await client.query('select public.set_plan($1, $2)', [subject, 'pro']);
      await client.query(`select public.consume_usage('ai_generation', 30, $1)`, [subject]);
    }
    await client.query(`select public.consume_usage('kb_file', 50, 'bob')`);
    await client.query(`select public.consume_usage('export', 5, 'dan')`);
    const before = await catalogue();
    const pro = { ...document.plans.pro, retired: true, successor: 'small', moves: '2199-01-01' };
    const { free } = structuredClone(document.plans);
    free.limits.export.month = 3;
    write({ ...document, plans: { ...document.plans, free, pro } });

    const dry = await plans('--dry-run');
    expect(dry.output).toMatch(
      /~ limit +free\/export\/month +amount: 5 → 3 \(subjects: 1, over it: 1\)$/m,
    );
    expect(dry.output).toMatch(
      /~ plan +pro .*\(subjects that move: 3, 2199-01-01T00:00:00Z; over a new limit: 3\)$/m,
    );
    const { code, output } = await plans('--impact');
    expect(output).toContain('nothing was changed (dry run)');
    expect(output).toMatch(
      /^4 subjects have used more in a running period than a new limit allows:$/m,
    );
    const lines = output.slice(output.indexOf('4 subjects have')).split('\n').slice(2, 7);
    expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['bob', 'pro → small', '2199-01-01 00:00 UTC', 'kb_file/lifetime', '50 of 5', '45 over'],
      ['ada', 'pro → small', '2199-01-01 00:00 UTC', 'ai_generation/month', '30 of 20', '10 over'],
      ['bob', 'pro → small', '2199-01-01 00:00 UTC', 'ai_generation/month', '30 of 20', '10 over'],
      ['cy', 'pro → small', '2199-01-01 00:00 UTC', 'ai_generation/month', '30 of 20', '10 over'],
      ['dan', 'free', 'at once', 'export/month', '5 of 3', '2 over'],
    ]);
    expect(code).toBe(0);
    expect(await catalogue()).toEqual(before);

    write(document);
    expect((await plans('--impact')).output).toContain(
      'Nobody has used more than a new limit allows.',
    );
    for (const subject of ['ada', 'bob', 'cy', 'dan']) {
      await client.query('select public.forget_subject($1)', [subject]);
    }
  });

  test('what the database refuses is shown plainly, and nothing is changed', async () => {
    write(SAMPLE_PLANS);
    await plans();
    await client.query(`select public.set_plan('ada', 'pro')`);
    const before = await catalogue();
    write(
      wrong((d) => {
        delete d.plans.pro;
      }),
    );
    const { code, output } = await plans();
    await client.query('delete from quota.subjects');
    expect(output).toMatch(/^pgquota: .*plan pro/m);
    expect(output).not.toMatch(/^\s+at /m);
    expect(await catalogue()).toEqual(before);
    expect(code).toBe(1);
  });

  test('a number that JavaScript rounds reaches the database as it was written', async () => {
    write(
      '{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"month": 9007199254740991.4}}}}}',
    );
    const { code, output } = await plans();
    expect(output).toMatch(/found 9007199254740991\.4/);
    expect(code).toBe(1);
  });

  test('the database is taken from .env', async () => {
    write(SAMPLE_PLANS);
    writeFileSync(join(folder, '.env'), `OTHER=1\nDATABASE_URL="${database.url}"\n`);
    const { code } = await pgquota(folder, ['plans', file, '--dry-run']);
    rmSync(join(folder, '.env'));
    expect(code).toBe(0);
  });

  test('a missing file and a database without pgquota say what to do', async () => {
    expect((await pgquota(folder, ['plans', 'none.json'])).output).toMatch(
      /There is no file none\.json\.\n {2}npx pgquota init/,
    );
    write(SAMPLE_PLANS);
    const empty = await createDatabase({ from: 'empty' });
    const { code, output } = await pgquota(folder, ['plans', file, '--database-url', empty.url]);
    await empty.drop();
    expect(output).toMatch(/pgquota is not installed in .*\n {2}Apply its migrations first/);
    expect(code).toBe(1);
  });
});

test('an action that this version does not know is shown as it is', () => {
  expect(
    formatChanges([
      { action: 'add', kind: 'plan', id: 'pro', detail: 'name: "Pro"' },
      { action: 'over', kind: 'subject', id: 'ada', detail: null },
    ]),
  ).toEqual(['  + plan     pro  name: "Pro"', '  over subject  ada']);
});
