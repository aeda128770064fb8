/** Ends a run with one line that people and scripts can read: `N passed, N failed`. */
import type { Reporter, SerializedError, TestModule, Vitest } from 'vitest/node';

export default class ClosingLine implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    let passed = 0;
    let failed = errors.length;
    for (const module of modules) {
      failed += module.errors().length;
      for (const suite of module.children.allSuites()) failed += suite.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed++;
        // A skipped test is a failed test, unless it was filtered out by -t.
        else if (state === 'failed' || !this.#vitest?.config.testNamePattern) failed++;
      }
    }
    if (failed > 0 || passed === 0) process.exitCode = 1;
    console.log(`${passed} passed, ${failed} failed`);
  }
}
