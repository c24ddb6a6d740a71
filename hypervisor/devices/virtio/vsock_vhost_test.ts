/**
 * The socket device around a kernel that serves its data queues: a pretended one, as few hosts have
 * vhost-vsock. What the true one does is tried in the lab.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { signal } from "../../sys/eventfd.ts";
import type { QueueState } from "./queue.ts";
import { Driver, testMemory } from "./testing/driver.ts";
import { TestHost } from "./testing/host.ts";
import { VsockDevice } from "./vsock.ts";
import {
  EVENT,
  RX,
  TX,
  VIRTIO_VSOCK_EVENT_TRANSPORT_RESET as RESET,
  type VsockBackend,
} from "./vsock_protocol.ts";

const VHOST = 999;
const AREA = 0x20000;
const STATES: QueueState[] = [{ nextAvail: 3, nextUsed: 3 }, { nextAvail: 4, nextUsed: 4 }];

/** A guest whose data queues a kernel serves that only says what it was asked for. */
class Served implements Disposable {
  readonly memory = testMemory(0x40000);
  readonly host = new TestHost(this.memory, { queues: 3 });
  readonly log: string[] = [];
  /** Whether the address is another's by now. */
  isTaken = false;
  readonly device: VsockDevice;
  readonly drivers = [RX, TX, EVENT].map((index) =>
    new Driver(this.memory, { size: 16, base: 0x1000 + index * 0x4000, index })
  );

  constructor() {
    const { log } = this;
    const note = (what: string) => void log.push(what);
    const backend: VsockBackend = {
      notify: () => note("notify"),
      report: () => ({}),
      freeze: () => (note("freeze"), [...STATES]),
      thaw: () => {
        note("thaw");
        if (this.isTaken) throw new Error("Cannot take the vsock address 7");
      },
      letGo: () => note("let go"),
      stop: () => note("stop"),
    };
    this.device = new VsockDevice({ name: "vsock0", cid: 7, vhost: VHOST }, {
      features: () => new Set<number>(),
      serve: () => (note("serve"), backend),
      renew: (vhost) => note(`renew ${vhost}`),
    });
    this.host.device = this.device;
  }

  activate({ restored = false } = {}): void {
    const queues = this.drivers.map(({ setup }) => setup);
    this.device.activate(this.host, { queues, features: new Set(), restored });
  }

  /** As a driver: offers a buffer for an event, and says so. */
  offer(length = 4): void {
    this.memory.view.setUint32(AREA, 0xEEEE_EEEE, true);
    this.drivers[EVENT].add([{ address: AREA, length, writable: true }]);
    signal(this.host.queueNotifyFd(EVENT));
  }

  /** What has come in the buffers, once the loop has gone round. */
  events(): number[] {
    this.host.turn(0);
    return this.drivers[EVENT].takeAll().map(({ written }) =>
      written === 4 ? this.memory.view.getUint32(AREA, true) : NaN
    );
  }

  [Symbol.dispose](): void {
    this.device.reset();
    this.host[Symbol.dispose]();
    this.memory[Symbol.dispose]();
  }
}

Deno.test("a driver that offers a buffer late hears late that its streams are gone, and once", () => {
  using guest = new Served();
  guest.activate({ restored: true });
  assertEquals(guest.events(), []);
  guest.offer(3);
  assertEquals(guest.events(), [NaN]);
  guest.offer();
  assertEquals(guest.events(), [RESET]);
  guest.offer();
  assertEquals([guest.events(), guest.host.interrupts[EVENT]], [[], 2]);
});

Deno.test("one that has offered a buffer hears it at once; where nothing was lost, nobody does", () => {
  for (const restored of [true, false]) {
    using guest = new Served();
    guest.offer();
    guest.activate({ restored });
    assertEquals(guest.events(), restored ? [RESET] : []);
    assertEquals(guest.log, ["serve"]);
  }
});

Deno.test("its data queues are the kernel's, which stops and goes on with them", () => {
  using guest = new Served();
  guest.activate();
  assertEquals(guest.host.watched, 1);
  assertEquals(guest.device.freeze(), [...STATES, { nextAvail: 0, nextUsed: 0 }]);
  guest.device.thaw();
  guest.device.reset();
  assertEquals(guest.log, ["serve", "freeze", "thaw", "stop"]);
  assertEquals(guest.host.watched, 0);
  guest.activate();
  assertEquals(guest.host.watched, 1);
});

Deno.test("an event queue that contradicts itself stops the device", () => {
  using guest = new Served();
  guest.activate({ restored: true });
  guest.drivers[EVENT].setAvailIndex(40_000);
  signal(guest.host.queueNotifyFd(EVENT));
  guest.host.turn(0);
  assertEquals([guest.host.failures.length, guest.host.watched, guest.log], [1, 0, [
    "serve",
    "stop",
  ]]);
});

Deno.test("one that let go of its address and goes on tells that its streams are gone, once", () => {
  using guest = new Served();
  guest.activate();
  guest.device.freeze();
  guest.offer();
  guest.device.letGo();
  assertEquals([guest.events(), guest.log], [[], ["serve", "freeze", "renew 999", "let go"]]);
  guest.device.thaw();
  assertEquals(guest.events(), [RESET]);
  guest.device.freeze();
  guest.offer();
  guest.device.thaw();
  assertEquals(guest.events(), []);
});

Deno.test("an address is let go of where no driver uses it, too; a unix socket's is nobody's", () => {
  using guest = new Served();
  guest.device.letGo();
  assertEquals(guest.log, ["renew 999"]);
  guest.offer();
  guest.activate();
  assertEquals(guest.events(), []);
  const user = { name: "vsock1", cid: 7, path: "/nowhere", listener: -1 };
  new VsockDevice(user, { features: fail, serve: fail, renew: fail }).letGo();
});

Deno.test("one whose address is another's by then does not go on, and can be stopped", () => {
  using guest = new Served();
  guest.activate();
  guest.device.freeze();
  guest.device.letGo();
  guest.isTaken = true;
  assertThrows(() => guest.device.thaw(), Error, "Cannot take the vsock address 7");
  guest.device.reset();
  assertEquals(guest.host.watched, 0);
  // Its next driver has lost nothing.
  guest.offer();
  guest.activate();
  assertEquals(guest.events(), []);
});

function fail(): never {
  throw new Error("the kernel was asked");
}
