// The calls that the bench counts do what their rows say, whatever the engine becomes: each is made a few
// times in single-user mode, without valgrind (tests/full counts with it).
import { expect, test } from 'vitest';
import { withGround } from './instructions/ground.ts';
import { checkAnswers, linesOf, wholeCall } from './instructions/instructions.ts';
import { runSingle } from './instructions/single.ts';
import { between, markdownTable } from './readme.ts';

const TIMES = 3;

test('every call whose instructions are counted is answered as its row says', async () => {
  await withGround(async (home, rows) => {
    for (const row of rows) {
      const { output } = await runSingle(home, linesOf(row, TIMES, wholeCall(row)));
      checkAnswers(row, TIMES, output);
      expect(() => checkAnswers(row, TIMES + 1, output)).toThrow('answers are as expected');
    }
  });
}, 240_000);

test('the table of the README is written between its two comments, and nowhere else', () => {
  const table = markdownTable([{ call: 'consume', thousand: 1, more: null }]);
  expect(table).toBe('| call | thousand | more |\n| --- | ---: | ---: |\n| consume | 1 | – |');
  const page = 'a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb';
  expect(between(page, 'x', table)).toBe(`a\n<!-- x: begin -->\n${table}\n<!-- x: end -->\nb`);
  expect(() => between(page, 'y', table)).toThrow('README.md');
});
