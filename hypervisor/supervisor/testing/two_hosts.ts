/**
 * Two hosts in one test, paired, each with data and runs of its own.
 *
 * @module
 */
import type { Guest, Task } from "../api/schemas.ts";
import { TestHost, type TestOptions } from "./test_host.ts";

const LISTEN = { hostname: "127.0.0.1", port: 0 };
const PATIENCE_MS = 120_000;

/** `a` has guests, and `b` is where they go. */
export class TwoHosts implements AsyncDisposable {
  readonly a: TestHost;
  readonly b: TestHost;
  /** What `a` knows `b` by. */
  peer = "";

  private constructor(a: TestHost, b: TestHost) {
    this.a = a;
    this.b = b;
  }

  static async start(
    options: { a?: TestOptions; b?: TestOptions } = {},
  ): Promise<TwoHosts> {
    const a = new TestHost({ ...options.a, peers: LISTEN });
    // The same port after a restart, as the other host knows it by that.
    const b = new TestHost({ ...options.b, peers: { ...LISTEN, port: freePort() } });
    const hosts = new TwoHosts(a, b);
    await a.up();
    await b.up();
    await hosts.pair();
    return hosts;
  }

  /** Once more, where `a` listens elsewhere after a restart. */
  async pair(): Promise<void> {
    const { a, b } = this;
    const { code } = await b.local.client.call("offerPairing", {});
    const address = `127.0.0.1:${b.supervisor.peers.port}`;
    ({ id: this.peer } = await a.local.client.call("addPeer", { body: { address, code } }));
  }

  /** A guest that runs at `a`, with a disk that has something on it, and snapshots of these names. */
  async guest(cmdline = "", { snapshots = [] }: { snapshots?: string[] } = {}): Promise<Guest> {
    const { a } = this;
    if (a.supervisor.images.get("disk", "d") === null) await a.image("disk", "d", 65536);
    const guest = await a.guest({ cmdline, disks: [{ image: "d" }] });
    const started = await a.start(guest.id);
    for (const name of snapshots) await a.snapshot(guest.id, { name, memory: false });
    return started;
  }

  move(id: string, body: Record<string, unknown> = {}): Promise<Task> {
    return this.a.local.client.call("moveGuest", {
      params: { id },
      body: { peer: this.peer, ...body },
    });
  }

  /** Resolves when a task of `a` has ended, with how. */
  async end({ id }: Task): Promise<Task> {
    const over = Promise.withResolvers<Task>();
    const { tasks, events } = this.a.supervisor;
    const timer = setTimeout(
      () => over.reject(new Error(`Cannot wait longer for ${JSON.stringify(tasks.get(id))}`)),
      PATIENCE_MS,
    );
    const look = () => {
      const task = tasks.get(id);
      if (task.state !== "running") over.resolve(task);
    };
    const unsubscribe = events.subscribe(look);
    look();
    try {
      return await over.promise;
    } finally {
      clearTimeout(timer);
      unsubscribe();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.a[Symbol.asyncDispose]();
    await this.b[Symbol.asyncDispose]();
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Where a host has a guest and runs it, and where its disks are; the whole of it. */
export function whereabouts(host: TestHost, id: string) {
  const guest = host.supervisor.guests.list().find((it) => it.id === id);
  return {
    state: guest?.state ?? "none",
    hasDisks: host.names("data/guests").includes(id),
    hasRun: host.names("run/guests").includes(id),
  };
}
