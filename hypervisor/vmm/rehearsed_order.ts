/**
 * The rest of what a VMM that waits can do in advance: it is asked for a guest from a fork, through a socket
 * as by a supervisor, and ends that before it has run.
 *
 * @module
 */
import { close } from "../sys/files.ts";
import { memfd } from "../sys/mapping.ts";
import { sendDescriptors } from "../sys/passed_descriptors.ts";
import { writeAt } from "../sys/positioned_io.ts";
import { seal } from "../sys/seals.ts";
import { connectUnix } from "../sys/unix_sockets.ts";
import { ControlServer } from "./control_server.ts";
import { EventLoop } from "./event_loop.ts";
import { forkFrom } from "./fork/fork_source.ts";
import { Guest } from "./guest.ts";
import { throwAway } from "./machine_setup.ts";
import { decodeGuest } from "./snapshot/saved_guest.ts";
import type { VcpuThreads } from "./vcpu_threads.ts";

/** Under emulation, and on a host that has much to do. */
const PATIENCE_MS = 60_000;

/** Nothing else keeps the guest from running. */
const REASON = "It is a rehearsal";

/** Carries out an order for the guest of which `state` is what was saved, by the first vCPU's thread. */
export function rehearseOrder(
  state: Uint8Array<ArrayBuffer>,
  { threads, socket }: { threads: VcpuThreads; socket: string },
): void {
  // All that is watched or waited for there ends with it.
  const loop = new EventLoop();
  // A name that fits wherever the real one's does.
  const place = socket.replace(/[^/]*$/, "~");
  const server = new ControlServer(place, { loop });
  let client = -1;
  loop.after(0, () => client = ask(place, state));
  const over = loop.after(PATIENCE_MS, () => {
    throw new Error("Cannot rehearse: it does not come to an end");
  });
  const order = server.waitForOrder()!;
  const { config, restore } = forkFrom(order.descriptors, order.request.config);
  threads.isRehearsing = true;
  const guest = new Guest(config, {
    ...{ loop, threads, host: server },
    restore: { ...restore, pausedFor: REASON },
  });
  server.listen(guest);
  loop.run(() => guest.isParked || guest.end !== undefined);
  guest.kill();
  loop.run(() => guest.end !== undefined);
  close(client);
  server.close(guest.end!);
  over();
  throwAway(guest.machine);
  close(guest.machine.kvm.fd);
  threads.isRehearsing = false;
}

/** The supervisor's end. */
function ask(socket: string, state: Uint8Array<ArrayBuffer>): number {
  const { config, memory: { length } } = decodeGuest(state);
  const descriptors = [memfd("rehearsal", state.length), memfd("rehearsal", length)];
  writeAt(descriptors[0], state, 0);
  descriptors.forEach(seal);
  const client = connectUnix(socket);
  const line = `${JSON.stringify({ op: "run", fork: true, config })}\n`;
  sendDescriptors(client, new TextEncoder().encode(line), descriptors);
  descriptors.forEach(close);
  return client;
}
