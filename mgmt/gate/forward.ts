/**
 * Passes what is below /api/v1/ on to the supervisor, as it comes.
 *
 * @module
 */
import { type BodyError, limitBody, LIMITS, type Quota } from "./limits.ts";
import { problem } from "./problem.ts";
import { requestHeaders, responseHeaders, type Upstream } from "./upstream.ts";

/** What is answered for as long as somebody looks at it. */
const EVENT_PATHS = ["/api/v1/events", "/api/v1/host/log/events"];

export interface ForwardOptions {
  upstream: Upstream;
  /** Where the request came from. */
  remote: string;
  streams: Quota;
}

export async function forward(request: Request, options: ForwardOptions): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const isUpload = request.method === "PUT" &&
    (pathname.startsWith("/api/v1/images/") || pathname === "/api/v1/host/update");
  const maxBytes = isUpload ? Infinity : LIMITS.bodyBytes;
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) {
    return tooLarge();
  }
  let bodyError: BodyError | null = null;
  const body = request.body && limitBody(request.body as ReadableStream<Uint8Array<ArrayBuffer>>, {
    maxBytes,
    stallMs: LIMITS.bodyStallMs,
    onError: (error) => bodyError = error,
  });
  const headers = requestHeaders(request, options);
  const length = request.headers.get("content-length");
  if (isUpload && length && !headers.has("x-upload-length")) headers.set("x-upload-length", length);
  const isEvents = EVENT_PATHS.includes(pathname);
  const release = isEvents ? options.streams.take(options.remote) : () => {};
  if (!release) {
    return problem(503, "too_many_streams", "Cannot open another event stream: close some pages");
  }
  try {
    const response = await options.upstream.fetch(pathname + search, {
      method: request.method,
      headers,
      body,
      ...(body && { duplex: "half" }),
    });
    const answer = passOn(response.body, release);
    return new Response(answer, { status: response.status, headers: responseHeaders(response) });
  } catch (error) {
    release();
    // TypeScript does not see that the callback above sets it.
    const cause = bodyError as BodyError | null;
    if (cause) return problem(cause.status, BODY_CODES[cause.status], cause.message);
    console.error("Cannot reach the supervisor:", error instanceof Error ? error.message : error);
    return unreachable();
  }
}

const BODY_CODES = { 400: "body_broken", 408: "body_stalled", 413: "body_too_large" } as const;

function tooLarge(): Response {
  const max = LIMITS.bodyBytes;
  return problem(413, BODY_CODES[413], `Cannot read the body: it is longer than ${max} bytes`);
}

export function unreachable(): Response {
  return problem(
    502,
    "supervisor_unreachable",
    "Cannot reach the host's supervisor: it may be starting again. Try in a few seconds",
  );
}

/** The same stream, which calls `done` when it ends, fails or is no longer wanted. */
function passOn(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  done: () => void,
): ReadableStream<Uint8Array<ArrayBuffer>> | null {
  if (!body) {
    done();
    return null;
  }
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { value, done: isOver } = await reader.read();
        if (!isOver) return controller.enqueue(value);
        done();
        controller.close();
      } catch (error) {
        done();
        controller.error(error);
      }
    },
    async cancel(reason) {
      await reader.cancel(reason).catch(() => {});
      done();
    },
  });
}
