/** One session for one purpose. */
import pg from 'pg';

export async function withClient<T>(
  url: string,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client(url);
  client.on('error', () => {}); // the query at hand rejects anyway
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
