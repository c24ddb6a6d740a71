/**
 * VMMs that wait for a guest from another: started, and told where to listen.
 *
 * @module
 */
import { join } from "@std/path";
import { delay } from "@std/async";
import type { GuestConfig } from "../../vmm/control.ts";
import { writeFileDurably } from "../durable.ts";
import { askVmm, statusOf } from "./control_client.ts";
import { Run, type RunFile } from "./run.ts";
import type { VmmPool } from "./vmm_pool.ts";
import { type VmmCommand, VmmProcess } from "./vmm_process.ts";
import { startVmm } from "./vmm_start.ts";

const POLL_MS = 20;
/** By then it listens; generous, for emulated hosts. */
const LISTENS_MS = 120_000;

export interface ReceivingOptions {
  /** What the guest runs with where it comes from. */
  run: RunFile;
  /** Where the VMM is to listen for the one that sends. */
  socket: string;
  command: VmmCommand;
  pool: VmmPool;
  cgroup: string;
}

/** Starts a VMM in `directory`, which must not exist; resolves when it listens. */
export async function startReceiving(
  directory: string,
  config: GuestConfig,
  options: ReceivingOptions,
): Promise<VmmProcess> {
  const { socket, command, pool, cgroup } = options;
  const run = Run.begin(directory, options.run);
  const prepare = () => {
    writeFileDurably(join(directory, "config.json"), JSON.stringify(config));
    run.save();
  };
  const { id } = startVmm(directory, { command, pool, cgroup, prepare });
  const process = new VmmProcess(directory, id, { cgroup, run });
  try {
    await untilItListens(process, { op: "run", folder: directory, config, receive: socket });
  } catch (error) {
    await process.kill();
    await process.cleanUp();
    throw error;
  }
  return process;
}

async function untilItListens(
  process: VmmProcess,
  order: { op: "run"; folder: string; config: GuestConfig; receive: string },
) {
  let isOrdered = false;
  for (const deadline = Date.now() + LISTENS_MS; Date.now() < deadline;) {
    if (process.hasEnded) throw new Error(`Its VMM ended: ${process.logTail().trim()}`);
    try {
      const status = statusOf(await askVmm(process.controlSocket, { op: "status" }));
      if (status.receiving?.phase === "listening") return;
      if (!isOrdered) {
        isOrdered = true;
        // It is answered when the guest runs; whatever comes of it is told by the VMM's status or its end.
        askVmm(process.controlSocket, order).catch(() => {});
      }
    } catch {
      // It does not listen yet.
    }
    await delay(POLL_MS);
  }
  throw new Error("Its VMM does not listen");
}
