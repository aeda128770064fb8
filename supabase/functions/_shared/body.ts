/**
 * The body of a request, as text, up to a limit: `request.json()` keeps whatever is sent, and two bodies
 * of 150 MB took 1 GB. What it says of its length is only believed when it is too much.
 */

/** null when it is larger than `most` bytes; no more than that is read, whatever comes. */
export async function readBody(request: Request, most: number): Promise<string | null> {
  if (Number(request.headers.get('content-length')) > most) {
    await request.body?.cancel();
    return null;
  }
  const decoder = new TextDecoder();
  let text = '';
  let size = 0;
  const reader = request.body?.getReader();
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done) return text + decoder.decode();
    size += value.byteLength;
    if (size > most) {
      await reader?.cancel();
      return null;
    }
    text += decoder.decode(value, { stream: true });
  }
}
