/**
 * The systems of a host that is only made up, and an update that it takes in.
 *
 * @module
 */
import { type HostUpdateView, PullUpdate } from "../../hypervisor/supervisor/api/schemas.ts";
import { problem } from "./fake_problem.ts";

export function demoUpdate(): HostUpdateView {
  return {
    running: { version: "1.2.0", system: "a" },
    systems: { image: { version: "1.0.0" }, a: { version: "1.2.0" }, b: { version: "1.1.0" } },
    ...{ good: "a", trial: null, ready: null, undo: { version: "1.1.0", system: "b" } },
    last: {
      ...{ at: "2026-11-01T09:30:00Z", from: "1.1.0", to: "1.2.0", outcome: "kept" },
      why: null,
    },
    ...{ job: null, whyNot: null, pull: null },
  };
}

export class FakeUpdate {
  told = demoUpdate();
  /** What becomes of guests at each restart that was asked for. */
  readonly restarts: unknown[] = [];
  readonly #emit: (data: HostUpdateView) => void;
  /** What is taken in is held until this resolves. */
  #held: PromiseWithResolvers<"on" | "cancelled"> | null = null;

  constructor(emit: (data: HostUpdateView) => void) {
    this.#emit = emit;
  }

  put(change: Partial<HostUpdateView>): Response {
    this.told = { ...this.told, ...change };
    this.#emit(this.told);
    return Response.json(this.told);
  }

  /** Has what is taken in next wait before it is written; what comes back lets it go on. */
  hold(): () => void {
    const held = this.#held = Promise.withResolvers();
    return () => held.resolve("on");
  }

  async answer(request: Request, path: string): Promise<Response | null> {
    switch (`${request.method} ${path}`) {
      case "GET /host/update":
        return Response.json(this.told);
      case "PUT /host/update": {
        const bytes = (await request.arrayBuffer()).byteLength;
        return await this.#take(bytes);
      }
      case "POST /host/update/pull": {
        const { url } = PullUpdate.parse(await request.json());
        void this.#take(2 ** 26, url).catch(() => {});
        return Response.json(this.told, { status: 202 });
      }
      case "DELETE /host/update/job":
        this.#held?.resolve("cancelled");
        return Response.json(this.told);
      case "DELETE /host/update/ready":
        return this.put({ ready: null });
      case "POST /host/update/undo":
        return this.put({ ready: this.told.undo, undo: null });
      case "POST /host/restart":
        this.restarts.push((await request.json()).guests ?? null);
        return new Response(null, { status: 202 });
    }
    return null;
  }

  async #take(total: number, url?: string): Promise<Response> {
    const job = { phase: "writing", bytes: total / 4, total, error: null, isOver: false } as const;
    const pull = url === undefined ? null : { url, isOver: false, error: null };
    this.put({ job, pull });
    const how = await (this.#held?.promise ?? "on");
    this.#held = null;
    const over = pull && { ...pull, isOver: true };
    if (how === "cancelled") {
      const error = "The update was cancelled";
      this.put({ job: { ...job, error, isOver: true }, pull: over && { ...over, error } });
      throw problem(422, "update_refused", error);
    }
    return this.put({
      job: { ...job, phase: "ready", bytes: total, isOver: true },
      ...{ pull: over, ready: { version: "1.3.0", system: "b" }, undo: null },
      systems: { ...this.told.systems, b: { version: "1.3.0" } },
    });
  }
}
