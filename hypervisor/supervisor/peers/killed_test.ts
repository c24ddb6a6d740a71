/** A supervisor that is killed for good in the middle of a move, as a process of its own. */
import { assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { isLocked } from "../../sys/flock.ts";
import { killProcess } from "../../sys/processes.ts";
import { type UnixApi, unixApi } from "../api/unix.ts";
import type { Task } from "../api/schemas.ts";
import { TestHost } from "../testing/test_host.ts";
import { SharedDirectory, whereabouts } from "../testing/two_hosts.ts";

const MAIN = fromFileUrl(new URL("../main.ts", import.meta.url));
const FAKE_VMM = fromFileUrl(new URL("../testing/fake_vmm.ts", import.meta.url));

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function until<T>(look: () => Promise<T | undefined>, what: string): Promise<T> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline;) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Cannot wait any longer: ${what}`);
}

class Program implements AsyncDisposable {
  readonly #store: string;
  readonly #directory = Deno.makeTempDirSync({ prefix: "dv-" });
  readonly #port = freePort();
  #child!: Deno.ChildProcess;
  api!: UnixApi;

  /** With storage that another host sees too. */
  constructor(store: string) {
    this.#store = store;
  }

  async up(): Promise<void> {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--quiet", MAIN],
        ...["--data", join(this.#directory, "data"), "--run", join(this.#directory, "run")],
        `--shared-store=nas=${this.#store}`,
        ...["--vmm", FAKE_VMM, "--pool", "0", "--peers", `127.0.0.1:${this.#port}`],
      ],
      stderr: "null",
    }).spawn();
    this.api = unixApi(join(this.#directory, "run/supervisor.sock"));
    // It meets other hosts only once it serves the API.
    await until(() => this.api.client.call("listPeers", {}), "the supervisor");
  }

  async kill(): Promise<void> {
    this.api[Symbol.dispose]();
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }

  async state(id: string): Promise<string> {
    const guests = await this.api.client.call("listGuests", {});
    return guests.find((guest) => guest.id === id)?.state ?? "none";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    for (const { name } of Deno.readDirSync(join(this.#directory, "run/guests"))) {
      const path = join(this.#directory, "run/guests", name, "process.json");
      killProcess(JSON.parse(Deno.readTextFileSync(path)));
    }
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

for (
  const { what, cmdline, isTime, afterMs, expected } of [
    {
      what: "while memory goes: the guest runs on",
      cmdline: "slow-memory",
      isTime: ({ phase }: Task) => phase === "Copying memory",
      afterMs: 300,
      expected: { here: "running", there: "none" },
    },
    {
      what: "when its VMM was told to give the guest away: the guest runs there",
      cmdline: "slow-go",
      isTime: ({ phase, canCancel }: Task) => phase === "Handing over" && !canCancel,
      afterMs: 150,
      expected: { here: "none", there: "running" },
    },
  ]
) {
  Deno.test(`a supervisor is killed ${what}`, async () => {
    using store = new SharedDirectory();
    await using b = await TestHost.start({
      ...store.b,
      peers: { hostname: "127.0.0.1", port: 0 },
    });
    await using a = new Program(store.path);
    await a.up();
    const { client } = a.api;
    const { code } = await b.local.client.call("offerPairing", {});
    const address = `127.0.0.1:${b.supervisor.peers.port}`;
    const { id: peer } = await client.call("addPeer", { body: { address, code } });
    await client.upload({ kind: "kernel", name: "k" }, new Uint8Array(1000));
    const disks = [{ sizeMiB: 1 }, { sizeMiB: 1, store: "nas" }];
    const body = { name: "web", kernel: "k", cmdline, nets: [], disks };
    const guest = await client.call("createGuest", { body });
    const { id } = guest;
    await client.call("startGuest", { params: { id } });
    const events = client.events();
    await events.next();
    await client.call("moveGuest", { params: { id }, body: { peer } });
    for await (const { name, data } of events) if (name === "task" && isTime(data as Task)) break;
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await a.kill();
    // A pretended VMM that was told to give its guest away does so, however long it takes.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await a.up();
    const now = async () => ({ here: await a.state(id), there: whereabouts(b, id).state });
    await until(
      async () => JSON.stringify(await now()) === JSON.stringify(expected) || undefined,
      what,
    ).catch(() => {});
    assertEquals(await now(), expected);
    assertEquals([store.names().length, isLocked(store.disk(guest))], [1, true]);
    assertEquals(b.names("data/guests"), expected.there === "running" ? [id] : []);
  });
}
