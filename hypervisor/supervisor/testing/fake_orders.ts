/**
 * How a VMM that pretends waits to be told what to run: a guest that starts, one that goes on, and one that
 * another VMM gives it.
 *
 * @module
 */
import { join } from "@std/path";
import {
  CONTROL_VERSION,
  EXIT_CODES,
  type GuestConfig,
  type Response,
  type RunRequest,
  type Status,
} from "../../vmm/control.ts";
import { VERSION } from "../version.ts";
import { FakeLocks } from "./fake_locks.ts";
import { FakeReceiver } from "./fake_migration.ts";
import { type Handed, take } from "./fake_upgrade.ts";

/** What it runs, and where its socket is by then. */
export interface Orders {
  config: GuestConfig;
  control: string;
  order?: RunRequest;
  /** What came with it from another VMM of this host. */
  handed?: Handed;
  /** What of the guest's is locked already, as it came from another VMM. */
  locks?: FakeLocks;
}

/** Who answers those that connect. */
export interface Door {
  handle(connection: Deno.Conn): Promise<void>;
}

type Order = PromiseWithResolvers<Orders>;
/** How far it is with one that another gives it. */
type Receiving = () => Status["receiving"];

/** Resolves once there is a guest; until then it answers at the `door` itself. */
export async function ordered(listener: Deno.UnixListener, door: Door): Promise<Orders> {
  const order: Order = Promise.withResolvers();
  let receiver: FakeReceiver | undefined;
  let receiving: Receiving = () => undefined;
  door.handle = async (connection) => {
    if (receiver?.isMute) return connection.close();
    const buffer = new Uint8Array(65536);
    const count = await connection.read(buffer) ?? 0;
    const request = JSON.parse(new TextDecoder().decode(buffer.subarray(0, count)));
    let error: string | undefined;
    try {
      if (request.op === "kill") Deno.exit(EXIT_CODES.poweroff);
      if (request.op === "take_over") receiver!.decide(request.handOver);
      if (request.op === "run" && request.upgrade !== undefined) {
        takeFrom(request, order);
        receiving = () => ({ phase: "listening" });
      } else if (request.op === "run" && request.receive !== undefined) {
        const it = receiver = receive(request, order);
        receiving = () => ({ phase: it.phase, handOver: it.handOver });
      } else if (request.op === "run") {
        order.resolve({ ...told(request), order: request });
      }
    } catch (cause) {
      error = (cause as Error).message;
    }
    const now = receiving();
    const status: Status = {
      ...{ version: CONTROL_VERSION, program: VERSION, pid: Deno.pid, name: "" },
      ...{ state: "waiting", startedAt: 0, cpus: 0, memoryMiB: 0 },
      ...(now && { receiving: now }),
    };
    const response: Response = error === undefined ? { ok: true, status } : { ok: false, error };
    await connection.write(new TextEncoder().encode(JSON.stringify(response) + "\n"));
    connection.close();
  };
  (async () => {
    for await (const connection of listener) void door.handle(connection).catch(() => {});
  })();
  return await order.promise;
}

function told(request: RunRequest): Orders {
  return { config: request.config!, control: join(request.folder!, "control.sock") };
}

/** From a VMM of this host, whose folder this one's is then. */
function takeFrom(request: RunRequest & { upgrade: string }, order: Order): void {
  const { folder = "", becomes = "" } = request as { folder?: string; becomes?: string };
  take(request.upgrade, { folder, becomes }).then((handed) => {
    if (handed === null) Deno.exit(EXIT_CODES.host);
    order.resolve({ config: handed.config, control: join(becomes, "control.sock"), handed });
  });
}

/** From a VMM that may be anywhere. */
function receive(request: RunRequest & { receive: string }, order: Order): FakeReceiver {
  const orders = told(request);
  const words = new Set(orders.config.cmdline.split(/\s+/));
  const locks = new FakeLocks(orders.config);
  const receiver = new FakeReceiver(request.receive, { words, locks });
  const run = () => {
    // Whatever becomes of one that is mute, it holds its guest's disks.
    if (!receiver.isMute) order.resolve({ ...orders, locks });
  };
  receiver.taken.then(run, (error) => {
    console.error(error.message);
    Deno.exit(EXIT_CODES.host);
  });
  return receiver;
}
