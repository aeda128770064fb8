/** A stand-in for a model: streams words and reports tokens, and fails when it is told to. */

export interface Draft {
  /** The next piece of text. */
  text?: string;
  /** With the last piece: what the draft cost, for the ledger. */
  tokens?: number;
}

export type Model = (prompt: string, signal: AbortSignal) => AsyncIterable<Draft>;

const OPENINGS = ['In short:', 'Another way to say it:', 'Put plainly:', 'For a headline:'];
const WORDS =
  'every call is counted where the data lives, so two tabs, a retry or a crash cannot give away more than the plan allows';

/** `pause` is the time between two words, in milliseconds. */
export function createStandIn(pause = 8): Model {
  return async function* (prompt, signal) {
    const opening = OPENINGS[Math.floor(Math.random() * OPENINGS.length)] as string;
    const words = `${opening} ${prompt.trim()} — ${WORDS}.`.split(' ');
    for (const [at, word] of words.entries()) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      signal.throwIfAborted();
      if (at === 3 && prompt.includes('[fail]')) throw new Error('the model is overloaded');
      yield { text: at === 0 ? word : ` ${word}` };
    }
    yield { tokens: Math.ceil(words.join(' ').length / 4) };
  };
}
