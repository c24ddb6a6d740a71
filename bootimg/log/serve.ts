/**
 * What process 1 answers on its socket of the log: parts of it, and what comes.
 *
 * @module
 */
import * as z from "zod";
import { isAsBad, type LogBatch, LogQuery } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { failed, type HostRoutes } from "../host_socket.ts";
import type { LogBook } from "./log_book.ts";

const Query = z.strictObject(LogQuery);

/** Records that come close together are told together. */
const GATHER_MS = 50;
const BATCH_RECORDS = 200;

/** The routes that show a log. */
export function logRoutes(book: LogBook): HostRoutes {
  return {
    "GET /log": answer(async (query) => Response.json(await book.read(query))),
    "GET /log/follow": answer((query) =>
      new Response(followLines(book, query), {
        headers: { "content-type": "application/x-ndjson" },
      })
    ),
  };
}

function answer(act: (query: LogQuery) => Response | Promise<Response>) {
  return async (request: Request): Promise<Response> => {
    const query = Query.safeParse(Object.fromEntries(new URL(request.url).searchParams));
    if (query.success) return await act(query.data);
    const { path, message } = query.error.issues[0];
    return failed(422, `Cannot read the log: ${path.map(String).join(".")} ${message}`);
  };
}

/**
 * A line of JSON for each batch after `after`, or after now. Whoever reads slowly makes nobody wait
 * and has nothing kept for it: what is forgotten meanwhile is told as a number.
 */
export function followLines(
  book: LogBook,
  { after = book.last, level, room }: LogQuery,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let seq = after;
  let isGone = false;
  let wake = () => {};
  const unlisten = book.listen(() => wake());
  return new ReadableStream({
    async pull(controller) {
      while (!isGone) {
        if (book.last <= seq) {
          await new Promise<void>((resolve) => wake = resolve);
          await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
          continue;
        }
        const { records, missed } = book.since(seq, BATCH_RECORDS);
        seq = records.at(-1)?.seq ?? book.last;
        const wanted = records.filter((it) =>
          (level === undefined || isAsBad(it.level, level)) &&
          (room === undefined || it.room === room)
        );
        if (wanted.length === 0 && missed === 0) continue;
        const batch: LogBatch = { records: wanted, missed };
        return controller.enqueue(new TextEncoder().encode(JSON.stringify(batch) + "\n"));
      }
    },
    cancel() {
      isGone = true;
      unlisten();
      wake();
    },
  }, { highWaterMark: 0 });
}
