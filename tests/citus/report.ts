/** What held and what did not, a line each; the exit code says whether all did. */
let held = 0;
let failed = 0;

export async function check(name: string, run: () => Promise<string | undefined>): Promise<void> {
  try {
    const note = await run();
    held += 1;
    console.log(`ok - ${name}${note ? ` (${note})` : ''}`);
  } catch (error) {
    failed += 1;
    console.log(
      `not ok - ${name}\n    ${String((error as Error).message)
        .split('\n')
        .join('\n    ')}`,
    );
  }
}

export function report(): void {
  console.log(`${held} held, ${failed} did not`);
  if (failed > 0) process.exitCode = 1;
}
