/** What a user can act on: what was wrong and what to do. Shown without a stack. */
export class Problem extends Error {
  readonly advice: string | undefined;

  constructor(message: string, advice?: string) {
    super(message);
    this.advice = advice;
  }
}

/** Of a database that was not reached; what it holds is not known. */
export class Unreachable extends Problem {}
