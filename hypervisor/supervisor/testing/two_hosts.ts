/**
 * Two hosts in one test, paired, each with data and runs of its own.
 *
 * @module
 */
import { join } from "@std/path";
import type { Guest, GuestCreate, Task } from "../api/schemas.ts";
import { removeIfThere } from "../durable.ts";
import { TestHost, type TestOptions } from "./test_host.ts";

const LISTEN = { hostname: "127.0.0.1", port: 0 };
const PATIENCE_MS = 120_000;

/** `a` has guests, and `b` is where they go. */
export class TwoHosts implements AsyncDisposable {
  readonly a: TestHost;
  readonly b: TestHost;
  /** What `a` knows `b` by. */
  peer = "";
  /** Storage that both see; null without. */
  readonly shared: SharedDirectory | null;

  private constructor(a: TestHost, b: TestHost, shared: SharedDirectory | null) {
    this.a = a;
    this.b = b;
    this.shared = shared;
  }

  /** With `isShared`, each has a store that is the other's, by another name and at another place. */
  static async start(
    options: { a?: TestOptions; b?: TestOptions; isShared?: boolean } = {},
  ): Promise<TwoHosts> {
    const shared = options.isShared ? new SharedDirectory() : null;
    const [ofA, ofB] = shared === null ? [{}, {}] : [shared.a, shared.b];
    const a = new TestHost({ ...ofA, ...options.a, peers: LISTEN });
    // The same port after a restart, as the other host knows it by that.
    const b = new TestHost({ ...ofB, ...options.b, peers: { ...LISTEN, port: freePort() } });
    const hosts = new TwoHosts(a, b, shared);
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

  /**
   * A guest that runs at `a`, with a disk that has something on it, another on the store where there is one, and
   * snapshots of these names.
   */
  async guest(cmdline = "", { snapshots = [] }: { snapshots?: string[] } = {}): Promise<Guest> {
    const { a } = this;
    if (a.supervisor.images.get("disk", "d") === null) await a.image("disk", "d", 65536);
    const disks: GuestCreate["disks"] = [{ image: "d" }];
    if (this.shared !== null) disks.push({ image: "d", name: "shared", store: "nas" });
    const guest = await a.guest({ cmdline, disks });
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
    this.shared?.[Symbol.dispose]();
  }
}

/** A directory that two hosts see. */
export class SharedDirectory implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "dv-store-" });
  /** Where the other host has it. */
  readonly elsewhere = `${this.path}-elsewhere`;
  readonly a: TestOptions = { stores: [{ name: "nas", directory: this.path }] };
  readonly b: TestOptions = { stores: [{ name: "fast", directory: this.elsewhere }] };

  constructor() {
    Deno.symlinkSync(this.path, this.elsewhere);
  }

  /** Where a disk of a guest's is. */
  disk({ id, disks }: Guest, index = 1): string {
    return join(this.path, id, `${disks[index].id}.img`);
  }

  /** All that is there, but for what says that it is a store. */
  names(): string[] {
    const found: string[] = [];
    const look = (folder: string) => {
      for (const { name, isDirectory } of Deno.readDirSync(join(this.path, folder))) {
        const path = join(folder, name);
        if (isDirectory) look(path);
        else found.push(path);
      }
    };
    look("");
    return found.filter((it) => it !== ".denovisor-store").sort();
  }

  [Symbol.dispose](): void {
    for (const path of [this.elsewhere, this.path]) removeIfThere(path);
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
