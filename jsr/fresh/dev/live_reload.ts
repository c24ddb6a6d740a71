import type { MiddlewareFn } from "../server/types.ts";

const PATH = "/_frsh/alive";
const SCRIPT = `/_frsh/alive.js`;

/** Has open pages load themselves anew after `notify()`. */
export function liveReload(): {
  middleware: MiddlewareFn<unknown>;
  notify: () => void;
} {
  const listeners = new Set<() => void>();
  const middleware: MiddlewareFn<unknown> = async (ctx) => {
    if (ctx.url.pathname === SCRIPT) {
      return new Response(
        `new EventSource(${JSON.stringify(PATH)}).onmessage = () => location.reload();`,
        { headers: { "content-type": "text/javascript" } },
      );
    }
    if (ctx.url.pathname === PATH) return eventStream(listeners);
    const response = await ctx.next();
    if (!response.headers.get("content-type")?.startsWith("text/html")) {
      return response;
    }
    // A file of its own, since a page's policy may forbid inline scripts.
    const html = (await response.text()).replace(
      /(?=<\/body>|$)/,
      `<script src="${SCRIPT}" defer></script>`,
    );
    return new Response(html, response);
  };
  return {
    middleware,
    notify: () => listeners.forEach((listener) => listener()),
  };
}

function eventStream(listeners: Set<() => void>): Response {
  let listener: () => void;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      listener = () => controller.enqueue(new TextEncoder().encode("data: changed\n\n"));
      listeners.add(listener);
    },
    cancel() {
      listeners.delete(listener);
    },
  });
  return new Response(body, {
    headers: { "content-type": "text/event-stream" },
  });
}
