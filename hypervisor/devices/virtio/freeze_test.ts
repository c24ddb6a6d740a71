/**
 * Devices that stand still, and others that go on from there, as in another process.
 */
import { assert, assertEquals } from "@std/assert";
import { Arena } from "../../machine/arena.ts";
import { close } from "../../sys/files.ts";
import { listenUnix } from "../../sys/unix_sockets.ts";
import { BalloonDevice, VIRTIO_BALLOON_F } from "./balloon.ts";
import { BlockDevice } from "./block.ts";
import { VIRTIO_BLK_T } from "./block_protocol.ts";
import { openDisk } from "./disk.ts";
import type { QueueSetup, QueueState } from "./queue.ts";
import { RngDevice } from "./rng.ts";
import { Driver, testMemory } from "./testing/driver.ts";
import { TestHost } from "./testing/host.ts";
import { VsockDevice } from "./vsock.ts";
import { EVENT, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET } from "./vsock_protocol.ts";

const BYTES = 0x10_0000;
const BUFFERS = 0x8_0000;
const SIZE = 64;

function drivers(memory: ReturnType<typeof testMemory>, count: number): Driver[] {
  return Array.from(
    { length: count },
    (_, index) => new Driver(memory, { size: SIZE, base: 0x1000 + index * 0x2000, index }),
  );
}

const from = (one: Driver, state: QueueState | null): QueueSetup => (
  { ...one.setup, ...(state ? { state } : {}) }
);

Deno.test("a queue goes on in another device where it was, and nothing is served twice", () => {
  using memory = testMemory(BYTES);
  using host = new TestHost(memory, { queues: 1 });
  const [driver] = drivers(memory, 1);
  const first = new RngDevice({ name: "rng0" });
  first.activate(host, { queues: [driver.setup], features: new Set() });
  const ask = () => driver.add([{ address: BUFFERS, length: 8, writable: true }]);
  for (let i = 0; i < 3; i++) ask();
  first.notify();
  assertEquals(driver.takeAll().length, 3);
  const states = first.freeze();
  assertEquals(states, [{ nextAvail: 3, nextUsed: 3 }]);
  ask();
  const second = new RngDevice({ name: "rng0" });
  const queues = [from(driver, states[0])];
  second.activate(host, { queues, features: new Set(), restored: true });
  second.notify();
  assertEquals(driver.takeAll().length, 1);
});

Deno.test("the balloon's buffer for statistics is taken once more, and comes back once", () => {
  using memory = testMemory(BYTES);
  using host = new TestHost(memory, { queues: 3 });
  const all = drivers(memory, 3);
  const make = () => new BalloonDevice(new Arena(), { name: "balloon0", memoryMiB: 1 });
  const features = new Set([VIRTIO_BALLOON_F.STATS_VQ]);
  const first = make();
  first.activate(host, { queues: all.map(({ setup }) => setup), features });
  const head = all[2].add([{ address: BUFFERS, length: 10 }]);
  first.notify(2);
  assertEquals(all[2].takeAll(), []);
  const states = first.freeze();
  assertEquals(states[2], { nextAvail: 0, nextUsed: 0 });
  const second = make();
  const queues = all.map((driver, i) => from(driver, states[i]));
  second.activate(host, { queues, features, restored: true });
  second.notify(2);
  assert(second.report().statisticsAt !== null);
  assertEquals(all[2].takeAll(), [{ head, written: 0 }]);
});

Deno.test("a disk's requests are answered before it stands still", () => {
  using memory = testMemory(BYTES);
  using host = new TestHost(memory, { queues: 1 });
  const [driver] = drivers(memory, 1);
  const path = Deno.makeTempFileSync();
  Deno.truncateSync(path, 1 << 20);
  const disk = openDisk(path, {});
  const device = new BlockDevice({ name: "block0", disk });
  device.activate(host, { queues: [driver.setup], features: new Set() });
  try {
    memory.view.setUint32(BUFFERS, VIRTIO_BLK_T.IN, true);
    for (let i = 0; i < 16; i++) {
      driver.add([
        { address: BUFFERS, length: 16 },
        { address: BUFFERS + 4096 * (i + 1), length: 512, writable: true },
        { address: BUFFERS + 32 + i, length: 1, writable: true },
      ]);
    }
    device.notify(0);
    assertEquals(device.freeze(), [{ nextAvail: 16, nextUsed: 16 }]);
    assertEquals(driver.takeAll().length, 16);
    assert(host.interrupts[0] > 0);
  } finally {
    device.reset();
    close(disk.fd);
    Deno.removeSync(path);
  }
});

Deno.test("a socket device that goes on elsewhere tells its driver that all streams are gone", () => {
  using memory = testMemory(BYTES);
  using host = new TestHost(memory, { queues: 3 });
  const all = drivers(memory, 3);
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/vsock`;
  const listener = listenUnix(path);
  const make = () => new VsockDevice({ name: "vsock0", cid: 3, listener, path });
  const first = make();
  first.activate(host, { queues: all.map(({ setup }) => setup), features: new Set() });
  const states = first.freeze();
  first.reset();
  const second = make();
  const queues = all.map((driver, i) => from(driver, states[i]));
  try {
    second.activate(host, { queues, features: new Set(), restored: true });
    // The driver has no buffer there yet.
    assertEquals(all[EVENT].takeAll(), []);
    memory.view.setUint32(BUFFERS, 0xEEEE_EEEE, true);
    const head = all[EVENT].add([{ address: BUFFERS, length: 4, writable: true }]);
    second.notify(EVENT);
    assertEquals(all[EVENT].takeAll(), [{ head, written: 4 }]);
    assertEquals(memory.view.getUint32(BUFFERS, true), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
    assertEquals(host.interrupts[EVENT], 1);
    // Once.
    all[EVENT].add([{ address: BUFFERS, length: 4, writable: true }]);
    second.notify(EVENT);
    assertEquals(all[EVENT].takeAll(), []);
    assertEquals(second.freeze()[EVENT], { nextAvail: 1, nextUsed: 1 });
  } finally {
    second.reset();
    close(listener);
    Deno.removeSync(folder, { recursive: true });
  }
});
