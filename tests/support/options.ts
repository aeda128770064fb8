/** Options of a command of ours. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** What was given; a slip is told, with the usage, and ends the process with 2. */
export function readOptions<T extends ParseArgsConfig>(config: T, usage: string) {
  try {
    return parseArgs(config);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}
