/**
 * One of two PCs as a host: the supervisor's own program, as the appliance runs it, with its data on a disk
 * of its own, and its API where the other PC reaches it.
 *
 * @module
 */
import { ApiClient, pathOf } from "../../hypervisor/supervisor/api/client.ts";
import type { Operation, ParamsOf } from "../../hypervisor/supervisor/api/routes.ts";
import { pass } from "../../scripts/bench_run/passing.ts";
import { ADDRESSES, joinSegment } from "../../scripts/bench_run/segment.ts";
import { run } from "../../scripts/setup/command.ts";
import { appears } from "./soaked_guest.ts";

/** Which of the two. */
export type Side = "first" | "second";

const DISK = "/dev/vdb";
const RUN = "/run/denovisor";
const API_PORT = 7200;
const PEERS_PORT = 8444;
/** Two of the same kind answer at about the same time, on a machine that may have little for either. */
const PATIENCE_MS = 600_000;
const LOOK_AGAIN_MS = 500;

/** Makes this PC a host; resolves when its API answers, with how its supervisor ends, which it should not. */
export async function beHost(
  side: Side,
  { supervisor, vmm }: { supervisor: string; vmm: string },
): Promise<{ ended: Promise<Deno.CommandStatus> }> {
  await joinSegment(side);
  const data = Deno.makeTempDirSync({ prefix: "soak-data-" });
  await run(["mkfs.xfs", "-q", "-f", DISK]);
  await run(["mount", DISK, data]);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-config", "--no-remote", "--no-npm", "--no-lock", "--no-check"],
      ...["--allow-all", supervisor],
      ...["--data", data, "--run", RUN, "--vmm", vmm, "--peers", String(PEERS_PORT)],
    ],
    // Its log.
    ...{ stdin: "null", stdout: "inherit", stderr: "inherit" },
  }).spawn();
  const socket = `${RUN}/supervisor.sock`;
  await appears(socket);
  pass({ hostname: ADDRESSES[side], port: API_PORT }, { path: socket });
  return { ended: child.status };
}

/** Pairs two hosts, once both are up. */
export async function pair(one: HostApi, other: HostApi): Promise<void> {
  const address = `${ADDRESSES[other.side]}:${PEERS_PORT}`;
  // One that is just starting does not answer, then refuses, and then may be too slow.
  await patiently(async () => {
    const { code } = await other.client.call("offerPairing", {});
    await one.client.call("addPeer", { body: { address, code } });
  });
}

async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (const deadline = performance.now() + PATIENCE_MS;;) {
    try {
      return await ask();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** The API of a host, from either PC. */
export class HostApi {
  readonly side: Side;
  readonly client: ApiClient;
  readonly #host: string;

  constructor(side: Side) {
    this.side = side;
    this.#host = `${ADDRESSES[side]}:${API_PORT}`;
    this.client = new ApiClient({ origin: `http://${this.#host}` });
  }

  connect<O extends Operation>(operation: O, params: ParamsOf<O>): WebSocket {
    const socket = new WebSocket(`ws://${this.#host}${pathOf(operation, params)}`);
    socket.binaryType = "arraybuffer";
    return socket;
  }
}
