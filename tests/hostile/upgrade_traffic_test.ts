/**
 * A guest that answers frames from the host's network and writes each to its disk goes on in another VMM
 * meanwhile: nothing is lost, and nothing comes twice.
 */
import { assert, assertEquals } from "@std/assert";
import { VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { VIRTIO_ID } from "../../hypervisor/devices/virtio/device.ts";
import { PacketSocket } from "../../hypervisor/sys/packet_socket.ts";
import { EXIT_CODES } from "../../hypervisor/vmm/control.ts";
import { HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { type BlockDriver, SECTOR_BYTES, SECTORS } from "./block_driver.ts";
import { F_WRITE, GuestDriver } from "./guest_driver.ts";
import type { GuestProgram } from "./guest_program.ts";
import { TestTap } from "./test_tap.ts";
import { Giver, TakingVmm } from "./upgrading_guest.ts";

const FRAMES = 120;
/** virtio 1.2, section 5.1.6; Ethernet's header; and then the frame's number. */
const NET_HEADER_BYTES = 12;
const NUMBER = 16;
const FRAME_BYTES = 60;
/** Two ethertypes for experiments: to the guest, and back. */
const [TO_GUEST, FROM_GUEST] = [0x88B5, 0x88B6];
const [RX, TX] = [0, 1];

/** Waits for frame after frame; each is what it has to be, goes to the disk, and is answered. */
function answers(program: GuestProgram, disk: BlockDriver): void {
  const card = new GuestDriver(program, VIRTIO_ID.net, { queues: 2 });
  card.start();
  const [received, sent] = [program.allocate(4096), program.allocate(4096)];
  program.fill(sent, 128);
  const swapped = (FROM_GUEST & 0xFF) << 8 | FROM_GUEST >> 8;
  program.write(sent + NET_HEADER_BYTES + 12, 2, swapped);
  program.case("the card works", () => card.expect("DEVICE_STATUS", 0xF));
  program.case("every frame comes once, in order", () => {
    for (let number = 0; number < FRAMES; number++) {
      const buffer = { address: received, length: 2048, flags: F_WRITE };
      card.roundTrip([buffer], NET_HEADER_BYTES + FRAME_BYTES, RX);
      program.read(received + NET_HEADER_BYTES + NUMBER, 4);
      program.expect("the frame's number", number);
      disk.request(VIRTIO_BLK_T.OUT, number % SECTORS);
      program.write(disk.data, 4, number);
      disk.virtio.roundTrip([
        { address: disk.header, length: 16 },
        { address: disk.data, length: SECTOR_BYTES },
        { address: disk.status, length: 1, flags: F_WRITE },
      ], 1);
      disk.expectStatus(0);
      program.read(received + NET_HEADER_BYTES + NUMBER, 4);
      program.code.address(sent + NET_HEADER_BYTES + NUMBER);
      program.code.store(4);
      card.roundTrip([{ address: sent, length: NET_HEADER_BYTES + FRAME_BYTES }], 0, TX);
    }
  });
}

/** The host's end of the wire. */
class Wire implements Disposable {
  readonly #socket: PacketSocket;
  /** The numbers of all answers, as they came. */
  readonly answers: number[] = [];

  constructor(tap: string) {
    this.#socket = new PacketSocket(tap);
  }

  /** Sends a frame with a number. */
  send(number: number): void {
    const frame = new Uint8Array(FRAME_BYTES);
    const view = new DataView(frame.buffer);
    frame.fill(0xFF, 0, 6);
    view.setUint16(12, TO_GUEST);
    view.setUint32(NUMBER, number, true);
    this.#socket.send(frame);
  }

  /** Returns once there are so many answers. */
  async heard(count: number): Promise<void> {
    while (this.answers.length < count) {
      const frame = this.#socket.receive();
      if (frame === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        continue;
      }
      const view = new DataView(frame.buffer);
      if (view.getUint16(12) === FROM_GUEST) this.answers.push(view.getUint32(NUMBER, true));
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** The host has nothing to say there by itself. */
function keepQuiet(tap: string): void {
  try {
    Deno.writeTextFileSync(`/proc/sys/net/ipv6/conf/${tap}/disable_ipv6`, "1");
  } catch (error) {
    // A host without IPv6 is quiet already.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function hasTaps(): boolean {
  using tap = TestTap.create();
  return tap !== null;
}

Deno.test({
  name: "frames and writes of a guest that goes on in another VMM are neither lost nor doubled",
  ignore: !HAS_KVM || !hasTaps(),
  async fn() {
    using tap = TestTap.create()!;
    keepQuiet(tap.name);
    using giver = await Giver.running({ works: answers, more: ["--net", tap.name] });
    await using vmm = await TakingVmm.started();
    await giver.guest.isThrough("the card works");
    using wire = new Wire(tap.name);
    let upgrade: ReturnType<Giver["upgrade"]> | undefined;
    let longest = 0;
    for (let number = 0; number < FRAMES; number++) {
      if (number === FRAMES / 3) upgrade = giver.upgrade(vmm.socket);
      const began = performance.now();
      // Two are under way at any time, so that some come while nobody is there to take them.
      wire.send(number);
      await wire.heard(number);
      longest = Math.max(longest, performance.now() - began);
    }
    await wire.heard(FRAMES);
    const { error, upgraded } = (await upgrade!).at(-1);
    assertEquals(error, undefined);
    assert(upgraded);
    assertEquals((await giver.guest.ended()).code, EXIT_CODES.upgraded);
    assertEquals(wire.answers, Array.from({ length: FRAMES }, (_, number) => number));
    assert(longest > 0);
    await vmm.runs(giver);
    const image = new DataView(Deno.readFileSync(`${giver.folder.path}/disk`).buffer);
    for (let number = 0; number < FRAMES; number++) {
      assertEquals(image.getUint32(number * SECTOR_BYTES, true), number);
    }
  },
});
