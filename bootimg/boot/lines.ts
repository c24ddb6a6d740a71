/**
 * Bytes as lines of text.
 *
 * @module
 */

/**
 * A line longer than this is cut into several: what a process writes must not fill PID 1's memory. A
 * record of the supervisor's with the last words of a VMM fits.
 */
export const MAX_LINE_LENGTH = 32 * 1024;

/** The lines of UTF-8 bytes without their ends; a last one without an end counts too. */
export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = parts.pop()!;
    for (const part of parts) yield part.replace(/\r$/, "");
    while (rest.length > MAX_LINE_LENGTH) {
      yield rest.slice(0, MAX_LINE_LENGTH);
      rest = rest.slice(MAX_LINE_LENGTH);
    }
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}
