/**
 * Sending a file over a unix socket, as it comes and with its length, which `fetch` does not tell of a stream.
 *
 * @module
 */
import { type IncomingMessage, request } from "node:http";

export interface FileToSend {
  method: string;
  /** With its query. */
  path: string;
  body: ReadableStream<Uint8Array>;
  bytes: number;
  signal: AbortSignal;
}

/** No answer has more. */
const MOST_ANSWER_BYTES = 1024 * 1024;

/** Sends it to who listens at `socket`; the answer, which may come before all is sent. */
export async function sendFile(
  socket: string,
  { method, path, body, bytes, signal }: FileToSend,
): Promise<{ status: number; text: string }> {
  signal.throwIfAborted();
  const headers = { "content-length": String(bytes) };
  const asked = request({ socketPath: socket, method, path, headers });
  const answer = Promise.withResolvers<IncomingMessage>();
  asked.on("response", answer.resolve);
  asked.on("error", answer.reject);
  const giveUp = () => asked.destroy(signal.reason);
  signal.addEventListener("abort", giveUp);
  // Who is to take it may refuse it before its first bytes come.
  asked.flushHeaders();
  let isAnswered = false;
  const answered = answer.promise.finally(() => isAnswered = true);
  const sent = (async () => {
    let left = bytes;
    const reader = body.getReader();
    try {
      while (!isAnswered) {
        const next = await Promise.race([reader.read(), answered.then(() => null, () => null)]);
        if (next === null) return;
        if (next.done) break;
        left -= next.value.length;
        if (left < 0) throw new Error(`Cannot send the file: it has more than ${bytes} bytes`);
        if (!asked.write(next.value)) {
          const drained = new Promise((resolve) => asked.once("drain", resolve));
          await Promise.race([drained, answered.catch(() => {})]);
        }
      }
      if (left > 0 && !isAnswered) throw new Error("Cannot send the file: it broke off");
      asked.end();
    } catch (error) {
      asked.destroy(error instanceof Error ? error : new Error(String(error)));
      answer.reject(error);
    } finally {
      void reader.cancel().catch(() => {});
      reader.releaseLock();
    }
  })();
  try {
    const response = await answered;
    let text = "";
    for await (const part of response.setEncoding("utf8")) {
      text += part;
      if (text.length > MOST_ANSWER_BYTES) {
        throw new Error("Cannot read the answer: it is too long");
      }
    }
    return { status: response.statusCode ?? 0, text };
  } finally {
    signal.removeEventListener("abort", giveUp);
    await sent;
    asked.destroy();
  }
}
