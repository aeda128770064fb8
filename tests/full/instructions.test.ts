// The instrument that the engine's speed is steered by: valgrind counts a backend's instructions.
import { expect, test } from 'vitest';
import { measureInstructions } from '../bench/instructions/instructions.ts';

test('instructions are counted, and are the same when counted again', async () => {
  const only = ['bare conditional update', 'consume'];
  const [first, second] = [
    await measureInstructions({ only }),
    await measureInstructions({ only }),
  ];
  for (const [at, { call, instructions }] of first.entries()) {
    expect(instructions, call).toBeGreaterThan(20);
    const again = second[at]?.instructions as number;
    expect(Math.abs(again / instructions - 1), call).toBeLessThan(0.05);
  }
  expect(first.map((result) => result.call)).toEqual(only);
}, 300_000);
