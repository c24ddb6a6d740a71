/**
 * Event streams: one snapshot, then every change, in order; and what somebody follows.
 *
 * @module
 */
import type { Change, EventData, EventHub } from "../events.ts";

const KEEP_ALIVE_MS = 15_000;
/** A listener that is this many bytes behind is let go; it comes back for a new snapshot. */
const LONGEST_BACKLOG_BYTES = 4 * 1024 * 1024;

const text = new TextEncoder();

/** One event as the wire has it. */
export function formatEvent(name: string, data: unknown): Uint8Array<ArrayBuffer> {
  return text.encode(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** Answers with the stream. Changes that happen while the snapshot is made come after it. */
export function eventStream(
  hub: EventHub,
  snapshot: () => Promise<EventData<"snapshot">>,
  ended: AbortSignal[],
): Response {
  let close = () => {};
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async start(controller) {
      const waiting: Change[] = [];
      let begun = false;
      const send = (bytes: Uint8Array<ArrayBuffer>) => {
        if ((controller.desiredSize ?? 0) < -LONGEST_BACKLOG_BYTES) close();
        else controller.enqueue(bytes);
      };
      const unsubscribe = hub.subscribe((change) => {
        if (begun) send(formatEvent(change.name, change.data));
        else waiting.push(change);
      });
      const keepAlive = setInterval(() => send(text.encode(": keep-alive\n\n")), KEEP_ALIVE_MS);
      const signal = AbortSignal.any(ended);
      let open = true;
      close = () => {
        if (!open) return;
        open = false;
        unsubscribe();
        clearInterval(keepAlive);
        signal.removeEventListener("abort", close);
        try {
          controller.close();
        } catch {
          // The reader went away first.
        }
      };
      signal.addEventListener("abort", close);
      if (signal.aborted) return close();
      try {
        const first = await snapshot();
        if (!open) return;
        send(formatEvent("snapshot", first));
        begun = true;
        for (const change of waiting) send(formatEvent(change.name, change.data));
      } catch (error) {
        close();
        throw error;
      }
    },
    cancel: () => close(),
  }, { highWaterMark: 0, size: (chunk) => chunk.length });
  return new Response(body, { headers: STREAM_HEADERS });
}

const STREAM_HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
};

/** Answers with an event for each thing that `begin` yields: it is asked for the next once one is taken. */
export function followStream(
  name: string,
  begin: (signal: AbortSignal) => AsyncGenerator<unknown>,
  ended: AbortSignal[],
): Response {
  const gone = new AbortController();
  const things = begin(AbortSignal.any([...ended, gone.signal]));
  let next: Promise<IteratorResult<unknown>> | null = null;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    // So that the answer begins, though there is nothing yet.
    start: (controller) => controller.enqueue(text.encode(": begun\n\n")),
    async pull(controller) {
      const { promise: idle, resolve } = Promise.withResolvers<null>();
      const timer = setTimeout(() => resolve(null), KEEP_ALIVE_MS);
      try {
        next ??= things.next();
        const result = await Promise.race([next, idle]);
        if (result === null) return controller.enqueue(text.encode(": keep-alive\n\n"));
        next = null;
        if (result.done) return controller.close();
        controller.enqueue(formatEvent(name, result.value));
      } catch {
        // Whoever listens comes back, and is told then what is wrong.
        controller.close();
      } finally {
        clearTimeout(timer);
      }
    },
    cancel: () => gone.abort(),
  }, { highWaterMark: 0 });
  return new Response(body, { headers: STREAM_HEADERS });
}
