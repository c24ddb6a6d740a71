import { assert, assertEquals } from "@std/assert";
import { drain } from "../../sys/eventfd.ts";
import { RngDevice } from "./rng.ts";
import { Driver, testMemory } from "./testing/driver.ts";
import { TestHost } from "./testing/host.ts";

const DATA = 0x8000;

function withRng(
  run: (rig: {
    memory: ReturnType<typeof testMemory>;
    host: TestHost;
    driver: Driver;
    device: RngDevice;
  }) => void,
): void {
  using memory = testMemory(0x20000);
  using host = new TestHost(memory, { queues: 1 });
  const driver = new Driver(memory, { size: 64, base: 0x1000 });
  const device = new RngDevice({ name: "rng0" });
  device.activate(host, { queues: [driver.setup], features: new Set() });
  run({ memory, host, driver, device });
  device.reset();
}

Deno.test("a buffer is filled, and nothing beside it", () => {
  withRng(({ memory, host, driver, device }) => {
    const head = driver.add([
      { address: DATA, length: 64, writable: true },
      { address: DATA + 128, length: 64, writable: true },
    ]);
    device.notify();
    assertEquals(driver.take(), { head, written: 128 });
    assertEquals(host.interrupts, [1]);
    const at = (offset: number) => memory.bytes.slice(DATA + offset, DATA + offset + 64);
    // 64 random bytes are never all equal.
    assert(new Set(at(0)).size > 1);
    assert(new Set(at(128)).size > 1);
    assert(at(64).every((byte) => byte === 0));
    assert(at(192).every((byte) => byte === 0));
  });
});

Deno.test("one chain gets 4096 bytes at most", () => {
  withRng(({ memory, driver, device }) => {
    const head = driver.add([{ address: DATA, length: 0x4000, writable: true }]);
    device.notify();
    assertEquals(driver.take(), { head, written: 4096 });
    assert(memory.bytes.subarray(DATA + 4096, DATA + 0x4000).every((byte) => byte === 0));
  });
});

Deno.test("a readable buffer comes back untouched", () => {
  withRng(({ memory, driver, device }) => {
    const head = driver.add([{ address: DATA, length: 64 }]);
    device.notify();
    assertEquals(driver.take(), { head, written: 0 });
    assert(memory.bytes.subarray(DATA, DATA + 64).every((byte) => byte === 0));
  });
});

Deno.test("after 64 chains in one turn, others have theirs before the next", () => {
  withRng(({ host, driver, device }) => {
    const heads = Array.from(
      { length: 64 },
      () => driver.add([{ address: DATA, length: 1, writable: true }]),
    );
    device.notify();
    assertEquals(driver.takeAll().map(({ head }) => head), heads);
    // It notified itself, and goes on when the loop comes round to that.
    assert(drain(host.queueNotifyFd(0)));
    const late = driver.add([{ address: DATA, length: 1, writable: true }]);
    device.notify();
    assertEquals(driver.take(), { head: late, written: 1 });
    assert(!drain(host.queueNotifyFd(0)));
    assert(driver.wantsKick(driver.availIndex));
  });
});

Deno.test("nothing is served before activation or after reset", () => {
  const device = new RngDevice({ name: "rng0" });
  device.notify();
  withRng(({ driver, device }) => {
    device.reset();
    driver.add([{ address: DATA, length: 1, writable: true }]);
    device.notify();
    assertEquals(driver.take(), undefined);
  });
});
