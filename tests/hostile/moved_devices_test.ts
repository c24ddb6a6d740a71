/**
 * A guest with two vCPUs and a network card goes from one VMM to another, on another tap, and its network
 * is told where it is.
 */
import { assertEquals } from "@std/assert";
import { VIRTIO_ID } from "../../hypervisor/devices/virtio/device.ts";
import { TX } from "../../hypervisor/devices/virtio/net_protocol.ts";
import { PacketSocket } from "../../hypervisor/sys/packet_socket.ts";
import { createTap, removeTap } from "../../hypervisor/sys/tap.ts";
import { VNET_HEADER_BYTES } from "../../hypervisor/sys/tap_offloads.ts";
import { Folder, HAS_KVM, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { GuestDriver } from "./guest_driver.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest } from "./hostile_guest.ts";
import { send, Waiting } from "./migrating_guest.ts";
import { startSecondCpu, stopSecondCpu } from "./race_cases.ts";
import { TestTap } from "./test_tap.ts";

const MIGRATED = 5;
const MAC = [0x52, 0x54, 0, 0, 0, 1];
/** For experiments (IEEE 802). */
const OURS = [0x88, 0xB5];
const RARP = [0x80, 0x35];
const FRAME_BYTES = 60;

function hasTaps(): boolean {
  using tap = TestTap.create();
  return tap !== null;
}

/** The frames of a type that have passed an interface since. */
function seen(socket: PacketSocket, type: readonly number[]): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let one = socket.receive(); one; one = socket.receive()) {
    if (one[12] === type[0] && one[13] === type[1]) frames.push(one);
  }
  return frames;
}

function program(): GuestProgram {
  const program = new GuestProgram();
  const card = new GuestDriver(program, VIRTIO_ID.net, { queues: 2 });
  const frame = program.allocate(VNET_HEADER_BYTES + FRAME_BYTES);
  program.fill(frame, 128);
  [...new Array(6).fill(0xFF), ...MAC, ...OURS].forEach((byte, i) =>
    program.write(frame + VNET_HEADER_BYTES + i, 1, byte)
  );
  const sends = () => {
    const length = VNET_HEADER_BYTES + FRAME_BYTES;
    card.roundTrip([{ address: frame, length }], 0, TX);
  };
  card.start();
  startSecondCpu(program, [[0, 1]]);
  program.case("its card works", sends);
  program.waitForTest();
  program.case("its card goes on", sends);
  stopSecondCpu(program);
  program.case("and so does the second vCPU", () => {
    program.read(card.bar, 1);
    program.expect("a register", () => true);
  });
  return program;
}

Deno.test({
  name: "a guest with two vCPUs and a card goes on elsewhere, and its network learns where",
  ignore: !HAS_KVM || !hasTaps(),
  async fn() {
    using folder = new Folder();
    const control = `${folder.path}/control`;
    const taps = ["a", "b"].map((end) => `move${Deno.pid % 100_000}${end}`);
    try {
      for (const tap of taps) createTap(tap);
      using here = new PacketSocket(taps[0]);
      using there = new PacketSocket(taps[1]);
      const guest = new HostileGuest(program(), {
        ...{ vmm: VMM, folder: folder.path },
        args: ["--memory", "128M", "--cpus", "2", "--net", taps[0], "--control", control],
      });
      await guest.isThrough("its card works");
      assertEquals(seen(here, OURS).length, 1);
      await using vmm = await Waiting.started({
        ...{ name: "guest", kernel: "/none", cmdline: "", memoryMiB: 128, cpus: 2 },
        ...{ disks: [], hotplugPorts: 0, nets: [{ tap: taps[1], mac: "52:54:00:00:00:01" }] },
      });
      const said = await send(control, { socket: vmm.socket, allowedPauseMs: 100 });
      assertEquals(said.at(-1).error, undefined);
      assertEquals((await guest.ended()).code, MIGRATED);
      assertEquals((await vmm.answer).status?.state, "running");
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const announced = seen(there, RARP);
      assertEquals(announced.length, 5);
      for (const frame of announced) assertEquals([...frame.subarray(6, 12)], MAC);
      assertEquals(seen(here, RARP), []);

      await vmm.runs();
      assertEquals(seen(there, OURS).length, 1);
    } finally {
      for (const tap of taps) removeTap(tap);
    }
  },
});
