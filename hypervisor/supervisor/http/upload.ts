/**
 * Bodies that are files.
 *
 * @module
 */

/** The bytes of an upload as they come, and how many it says there are. */
export function uploadOf(
  { headers, body }: Request,
): { body: ReadableStream<Uint8Array<ArrayBuffer>>; size: number | undefined } {
  const empty = new ReadableStream<Uint8Array<ArrayBuffer>>({ start: (c) => c.close() });
  // A proxy that streams an upload on drops its content-length and tells it by the other header.
  const size = wholeNumber(headers.get("content-length")) ??
    wholeNumber(headers.get("x-upload-length"));
  return { body: body ?? empty, size };
}

function wholeNumber(header: string | null): number | undefined {
  return header !== null && /^[0-9]{1,15}$/.test(header) ? Number(header) : undefined;
}
