// copy, the fastest way past an app's code.
import pg from 'pg';
import { expect, test } from 'vitest';
import { countsOf, LIMIT, linesOf } from './files.ts';
import { outcomeOf, runOnFiles } from './scenarios.ts';

/** `copy … from stdin` with these lines: node's pg has the messages, and no call for them. */
function copyIn(client: pg.Client, sql: string, lines: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const query = new pg.Query(sql) as pg.Query & { handleCopyInResponse(connection: Copy): void };
    query.handleCopyInResponse = (connection) => {
      connection.sendCopyFromChunk(Buffer.from(lines.map((line) => `${line}\n`).join('')));
      connection.endCopyFrom();
    };
    query.on('end', () => resolve());
    query.on('error', reject);
    client.query(query);
  });
}

interface Copy {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

const COPY = 'copy public.files (user_id) from stdin';

test('copy is counted in one line for each subject', () =>
  runOnFiles(async ({ owner }) => {
    await copyIn(owner, COPY, ['ada', 'bob', 'ada', '\\N', 'ada']);
    expect(await countsOf(owner, 'ada')).toEqual({ gauge: 3, rows: 3 });
    expect(await linesOf(owner, 'ada')).toEqual([3]);
    expect(await linesOf(owner, 'bob')).toEqual([1]);
  }));

test('a copy that does not fit is refused, and nothing of it is written', () =>
  runOnFiles(async ({ owner }) => {
    await copyIn(owner, COPY, ['ada', 'ada']);
    const lines = ['bob', ...Array<string>(LIMIT).fill('ada')];
    expect(await outcomeOf(copyIn(owner, COPY, lines))).toBe('PT402');
    expect(await countsOf(owner, 'ada')).toEqual({ gauge: 2, rows: 2 });
    expect(await countsOf(owner, 'bob')).toEqual({ gauge: 0, rows: 0 });
  }));
