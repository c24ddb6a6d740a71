/**
 * The devices besides disks that the hostile guest has, each with a request that shows that it works.
 *
 * @module
 */
import { VIRTIO_BALLOON_F } from "../../hypervisor/devices/virtio/balloon.ts";
import {
  CONTROL_TX,
  VIRTIO_CONSOLE,
  VIRTIO_CONSOLE_F,
} from "../../hypervisor/devices/virtio/console_protocol.ts";
import { VIRTIO_ID } from "../../hypervisor/devices/virtio/device.ts";
import {
  MemRequest,
  MemResponse,
  VIRTIO_MEM_F,
  VIRTIO_MEM_REQ,
  VIRTIO_MEM_RESP,
} from "../../hypervisor/devices/virtio/mem.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import { TX, VIRTIO_VSOCK_OP } from "../../hypervisor/devices/virtio/vsock_protocol.ts";
import { close } from "../../hypervisor/sys/files.ts";
import { openVhostNet } from "../../hypervisor/sys/vhost.ts";
import type { DeviceUnderTest } from "./any_device_cases.ts";
import { F_WRITE, GuestDriver } from "./guest_driver.ts";
import type { GuestProgram } from "./guest_program.ts";

export function entropy(program: GuestProgram): DeviceUnderTest {
  const driver = new GuestDriver(program, VIRTIO_ID.rng);
  const address = program.allocate(4096);
  return {
    name: "rng0",
    driver,
    features: 0,
    queues: [0],
    works: () => driver.roundTrip([{ address, length: 64, flags: F_WRITE }], 64),
  };
}

export function balloon(program: GuestProgram): DeviceUnderTest {
  const driver = new GuestDriver(program, VIRTIO_ID.balloon, { queues: 4 });
  const numbers = program.allocate(4096);
  const page = program.allocate(4096);
  return {
    name: "balloon0",
    driver,
    features: 1 << VIRTIO_BALLOON_F.STATS_VQ | 1 << VIRTIO_BALLOON_F.REPORTING,
    queues: [0, 1, 2, 3],
    works() {
      // A page that is inflated is gone, and comes back as zeros. Numbers of no page do no harm.
      program.write(page, 4, 0x1234_5678);
      [page / 4096, 2 ** 27 / 4096, 0xFFFF_FFFF].forEach((number, i) =>
        program.write(numbers + 4 * i, 4, number)
      );
      for (const queue of [0, 1]) {
        driver.roundTrip([{ address: numbers, length: 12 }], 0, queue);
      }
      program.read(page, 4);
      program.expect("a page that was in the balloon", 0);
    },
  };
}

export function memoryDevice(program: GuestProgram): DeviceUnderTest {
  const driver = new GuestDriver(program, VIRTIO_ID.mem);
  const request = program.allocate(MemRequest.size);
  const response = program.allocate(MemResponse.size);
  return {
    name: "mem0",
    driver,
    features: 1 << VIRTIO_MEM_F.UNPLUGGED_INACCESSIBLE,
    queues: [0],
    works() {
      const chain = [
        { address: request, length: MemRequest.size },
        { address: response, length: MemResponse.size, flags: F_WRITE },
      ];
      program.fill(request, MemRequest.size);
      // What lies at address 0 is not its memory, and there is no such request.
      for (const type of [VIRTIO_MEM_REQ.PLUG, VIRTIO_MEM_REQ.UNPLUG, 0x7777]) {
        program.write(request, 2, type);
        driver.roundTrip(chain, MemResponse.size);
        program.read(response, 2);
        program.expect("response", (got) => got !== VIRTIO_MEM_RESP.ACK);
      }
      // The region's address lies in the configuration, at 16.
      program.write(request, 2, VIRTIO_MEM_REQ.STATE);
      program.read(driver.bar + BAR.DEVICE + 16, 8);
      program.code.address(request + 8);
      program.code.store(8);
      program.write(request + 16, 2, 1);
      driver.roundTrip(chain, MemResponse.size);
      program.read(response, 2);
      program.expect("response", VIRTIO_MEM_RESP.ACK);
    },
  };
}

/** virtio 1.2, section 5.1.6: a header, and a frame to nobody. */
const NET_HEADER_BYTES = 12;
const FRAME_BYTES = 60;

/** Whether the kernel serves the queues, and not the VMM. */
function hasVhostNet(): boolean {
  const fd = openVhostNet();
  if (fd >= 0) close(fd);
  return fd >= 0;
}

export function network(program: GuestProgram): DeviceUnderTest {
  const driver = new GuestDriver(program, VIRTIO_ID.net, { queues: 2 });
  const frame = program.allocate(4096);
  return {
    name: "net0",
    driver,
    features: 0,
    // The kernel looks at the queue of receive buffers once a frame comes.
    queues: hasVhostNet() ? [1] : [0, 1],
    works() {
      program.fill(frame, 128);
      program.write(frame + NET_HEADER_BYTES + 12, 2, 0xB588);
      driver.roundTrip([{ address: frame, length: NET_HEADER_BYTES + FRAME_BYTES }], 0, 1);
    },
  };
}

export function consolePorts(program: GuestProgram): DeviceUnderTest {
  const driver = new GuestDriver(program, VIRTIO_ID.console, { queues: 6 });
  const message = program.allocate(4096);
  return {
    name: "console0",
    driver,
    features: 1 << VIRTIO_CONSOLE_F.MULTIPORT,
    // Its answers and what the host types wait for the host.
    queues: [1, CONTROL_TX],
    works() {
      // Messages about ports that are not there, and of no kind, and then a good one.
      const messages = [[0x7FFF_FFFF, VIRTIO_CONSOLE.PORT_OPEN], [0, 0xFFFF], [
        0,
        VIRTIO_CONSOLE.DEVICE_READY,
      ]];
      for (const [port, event] of messages) {
        program.write(message, 4, port);
        program.write(message + 4, 4, event | 1 << 16);
        driver.roundTrip([{ address: message, length: 8 }], 0, CONTROL_TX);
      }
    },
  };
}

/** Section 5.10.6: of the header. */
const VSOCK = { DST_CID: 8, LENGTH: 24, TYPE_AND_OP: 28 } as const;

export function sockets(program: GuestProgram): DeviceUnderTest {
  const driver = new GuestDriver(program, VIRTIO_ID.vsock, { queues: 3 });
  const packet = program.allocate(4096);
  return {
    name: "vsock0",
    driver,
    features: 0,
    queues: [TX],
    works() {
      program.fill(packet, 64);
      program.write(packet, 8, 3);
      program.write(packet + VSOCK.DST_CID, 8, 2);
      // One that says that it is longer than it is, one of no kind, and one that ends nothing.
      program.write(packet + VSOCK.LENGTH, 4, 0xFFFF_FFFF);
      for (const op of [VIRTIO_VSOCK_OP.RW, 0xFFFF, VIRTIO_VSOCK_OP.RST]) {
        program.write(packet + VSOCK.TYPE_AND_OP, 4, (1 | op << 16) >>> 0);
        driver.roundTrip([{ address: packet, length: 44 }], 0, TX);
        program.write(packet + VSOCK.LENGTH, 4, 0);
      }
    },
  };
}
