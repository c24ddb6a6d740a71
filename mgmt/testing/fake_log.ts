/**
 * The log of a host that is only made up, and what crashed on it.
 *
 * @module
 */
import {
  type Crash,
  isAsBad,
  LOG_LEVELS,
  type LogLevel,
  type LogRecord,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { problem } from "./fake_problem.ts";

const LIMIT = 200;

export class FakeLog {
  readonly records: LogRecord[] = [];
  crashes: Crash[] = [];
  readonly #listeners = new Set<() => void>();

  constructor() {
    this.tell("the network is up");
    this.tell("nvme nvme0: 2/0/0 default/read/poll queues", { room: "kernel" });
    this.tell("a guest's VMM ended", {
      ...{ level: "warning", room: "supervisor" },
      fields: { guest: "web-1", reason: "crash" },
    });
  }

  tell(message: string, part: Partial<LogRecord> = {}): void {
    const seq = this.records.length + 1;
    const time = new Date().toISOString();
    this.records.push({ seq, time, level: "info", room: "boot", fields: {}, message, ...part });
    for (const listener of this.#listeners) listener();
  }

  /** The answer to a request below /host/log and /host/crashes; null for all others. */
  answer(request: Request, path: string): Response | null {
    const { searchParams } = new URL(request.url);
    if (path === "/host/log") return Response.json(this.#page(searchParams));
    if (path === "/host/log/events") return this.#follow(searchParams);
    if (path === "/host/crashes") return Response.json(this.crashes);
    if (path === "/host/support-bundle") {
      return new Response("an archive", {
        headers: {
          "content-type": "application/gzip",
          "content-disposition": 'attachment; filename="denovisor-support.tar.gz"',
        },
      });
    }
    const [, id] = /^\/host\/crashes\/(\w+)$/.exec(path) ?? [];
    if (id === undefined) return null;
    const crash = this.crashes.find((it) => it.id === id);
    if (!crash) throw problem(404, "not_found", `Cannot find a crash with the id "${id}"`);
    if (request.method !== "DELETE") return Response.json({ ...crash, text: "all\nthat is known" });
    this.crashes = this.crashes.filter((it) => it !== crash);
    return new Response(null, { status: 204 });
  }

  #wanted(query: URLSearchParams): LogRecord[] {
    const level = query.get("level") as LogLevel ?? LOG_LEVELS.at(-1);
    const after = Number(query.get("after") ?? 0);
    const before = Number(query.get("before") ?? Infinity);
    return this.records.filter((it) =>
      it.seq > after && it.seq < before && isAsBad(it.level, level)
    );
  }

  #page(query: URLSearchParams) {
    const limit = Number(query.get("limit") ?? LIMIT);
    const last = this.records.length;
    const wanted = this.#wanted(query);
    return { records: query.has("after") ? wanted.slice(0, limit) : wanted.slice(-limit), last };
  }

  #follow(query: URLSearchParams): Response {
    let after = Number(query.get("after") ?? this.records.length);
    let listener = () => {};
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        listener = () => {
          query.set("after", String(after));
          const records = this.#wanted(query);
          after = this.records.length;
          const data = JSON.stringify({ records, missed: 0 });
          controller.enqueue(new TextEncoder().encode(`event: log\ndata: ${data}\n\n`));
        };
        this.#listeners.add(listener);
        listener();
      },
      cancel: () => void this.#listeners.delete(listener),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
}
