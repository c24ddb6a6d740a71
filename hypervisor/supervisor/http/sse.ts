/**
 * The event stream: one snapshot, then every change, in order.
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
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    },
  });
}
