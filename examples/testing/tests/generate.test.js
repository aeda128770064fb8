import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import pg from 'pg';
import { connectForTests } from 'pgquota/testing';
import { generate } from '../generate.js';

const month = { feature: 'ai_generation', subject: 'ada', period: 'month' };
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
let usage;

before(async () => {
  usage = await connectForTests();
});
afterEach(async () => {
  await usage.resetClock();
  await usage.reset('ada');
});
after(async () => {
  await usage.close();
  await pool.end();
});

test('the last one of the month is given, and then the way to more', async () => {
  await usage.fillUp({ ...month, leave: 1 });
  assert.equal((await generate(pool, 'ada')).status, 200);
  assert.deepEqual(await generate(pool, 'ada'), { status: 402, upgradeUrl: '/settings/billing' });
});

test('next month there are generations again', async () => {
  await usage.fillUp(month);
  assert.equal((await generate(pool, 'ada')).status, 402);
  await usage.passReset(month);
  assert.equal((await generate(pool, 'ada')).status, 200);
});
