import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { HotplugRegion } from "../../machine/hotplug.ts";
import type { GuestMemory } from "../../machine/memory.ts";
import { fillRandom } from "../../sys/random.ts";
import {
  MemDevice,
  type MemOptions,
  MemRequest,
  MemResponse,
  VIRTIO_MEM_F,
  VIRTIO_MEM_REQ,
  VIRTIO_MEM_RESP,
  VIRTIO_MEM_STATE,
} from "./mem.ts";
import { type Buffer, Driver } from "./testing/driver.ts";
import { TestHost } from "./testing/host.ts";
import { TestRam } from "./testing/ram.ts";

const MiB = 2 ** 20;
const BLOCK = 2 * MiB;
const BLOCKS = 16;
const REQUEST = 0x8000;
const RESPONSE = 0x9000;

const { PLUG, UNPLUG, UNPLUG_ALL, STATE } = VIRTIO_MEM_REQ;
const { ACK, NACK, ERROR } = VIRTIO_MEM_RESP;

interface Rig {
  ram: TestRam;
  memory: GuestMemory;
  region: HotplugRegion;
  host: TestHost;
  device: MemDevice;
  driver: Driver;
  /** Sends a request for `count` blocks from `block` on; what was answered. */
  ask(type: number, block?: number, count?: number): { type: number; state: number };
}

function withMem(run: (rig: Rig) => void, options: Partial<MemOptions> = {}): void {
  using ram = new TestRam({ length: 4 * MiB, hotplugLength: BLOCKS * BLOCK });
  const { memory } = ram;
  const region = memory.hotplug!;
  using host = new TestHost(memory, { queues: 1 });
  const driver = new Driver(memory, { size: 64, base: 0x1000 });
  const device = new MemDevice(ram.arena, { name: "mem0", region: ram.spec.hotplug!, ...options });
  host.device = device;
  device.powerOn();
  // So that only blocks change how much is taken.
  memory.bytes.fill(0, 0, 2 * REQUEST);
  activate({ device, host, driver });
  const ask: Rig["ask"] = (type, block = 0, count = 1) => {
    const at = memory.offset(REQUEST, MemRequest.size);
    Object.assign(MemRequest.at(memory.bytes.buffer, at), {
      type,
      addr: region.guest + block * BLOCK,
      nb_blocks: count,
    });
    return send({ memory, device, driver }, [
      { address: REQUEST, length: MemRequest.size },
      { address: RESPONSE, length: MemResponse.size, writable: true },
    ]);
  };
  run({ ram, memory, region, host, device, driver, ask });
  device.reset();
}

function activate({ device, host, driver }: Pick<Rig, "device" | "host" | "driver">): void {
  device.activate(host, {
    queues: [driver.setup],
    features: new Set([VIRTIO_MEM_F.UNPLUGGED_INACCESSIBLE]),
  });
}

function send(
  { memory, device, driver }: Pick<Rig, "memory" | "device" | "driver">,
  buffers: Buffer[],
): { type: number; state: number } {
  const head = driver.add(buffers);
  device.notify();
  assertEquals(driver.take(), { head, written: MemResponse.size });
  const { type, state } = MemResponse.at(memory.bytes.buffer, memory.offset(RESPONSE, 10));
  return { type, state };
}

const isReachable = (memory: GuestMemory, at: number) => fillRandom(memory.address + at, 16) === 16;

Deno.test("a block is absent until it is plugged and after it was unplugged", () => {
  withMem(({ ram, memory, region, device, ask }) => {
    device.change({ requestedMiB: 8 });
    assertEquals(memory.offset(region.guest, 1), -1);
    assert(!isReachable(memory, region.offset));
    const before = ram.taken;

    assertEquals(ask(PLUG, 0, 2).type, ACK);
    assertEquals(memory.offset(region.guest, 2 * BLOCK), region.offset);
    assertEquals(memory.offset(region.guest + BLOCK, BLOCK + 1), -1);
    assert(isReachable(memory, region.offset + 2 * BLOCK - 16));
    assert(!isReachable(memory, region.offset + 2 * BLOCK));
    memory.bytes.fill(7, region.offset, region.offset + 2 * BLOCK);
    assertEquals(ram.taken, before + 2 * BLOCK);
    assertEquals(device.report().pluggedMiB, 4);

    assertEquals(ask(UNPLUG, 0).type, ACK);
    assertEquals(ram.taken, before + BLOCK);
    assertEquals(memory.offset(region.guest, 1), -1);
    assertEquals(memory.offset(region.guest + BLOCK, BLOCK), region.offset + BLOCK);
    assert(!isReachable(memory, region.offset));
    assertEquals(memory.bytes[region.offset + BLOCK], 7);
    assertEquals(device.report().pluggedMiB, 2);

    assertEquals(ask(UNPLUG_ALL).type, ACK);
    assertEquals(ram.taken, before);
    assertEquals(device.report().pluggedMiB, 0);
  });
});

Deno.test("no more is plugged than the host asked for", () => {
  withMem(({ device, host, ask }) => {
    assertEquals(ask(PLUG).type, NACK);
    device.change({ requestedMiB: 4 });
    assertEquals(host.configChanges, 1);
    assertEquals(ask(PLUG, 3, 3).type, NACK);
    assertEquals(ask(PLUG, 3, 2).type, ACK);
    assertEquals(ask(PLUG, 0).type, NACK);
    // Asked for less, the guest keeps what it has until it gives it back.
    device.change({ requestedMiB: 0 });
    assertEquals(device.report().pluggedMiB, 4);
    assertEquals(ask(UNPLUG, 3, 2).type, ACK);
  });
});

Deno.test("requests beside the region, without blocks, or of no known type are errors", () => {
  withMem(({ memory, region, device, driver, ask }) => {
    device.change({ requestedMiB: 32 });
    assertEquals(ask(PLUG, 0, 0).type, ERROR);
    assertEquals(ask(PLUG, -1).type, ERROR);
    assertEquals(ask(PLUG, BLOCKS).type, ERROR);
    assertEquals(ask(PLUG, BLOCKS - 1, 2).type, ERROR);
    assertEquals(ask(PLUG, 0.5).type, ERROR);
    assertEquals(ask(UNPLUG, 0).type, ERROR);
    assertEquals(ask(77).type, ERROR);
    MemRequest.at(memory.bytes.buffer, REQUEST).$bytes.fill(0xFF);
    const whole = { address: RESPONSE, length: 10, writable: true };
    assertEquals(
      send({ memory, device, driver }, [{ address: REQUEST, length: 24 }, whole]).type,
      3,
    );
    // Too short to be one, either way: it goes back unanswered.
    for (const [asked, answered] of [[23, 10], [24, 9]]) {
      const head = driver.add([
        { address: REQUEST, length: asked },
        { address: RESPONSE, length: answered, writable: true },
      ]);
      device.notify();
      assertEquals(driver.take(), { head, written: 0 });
    }
    assertEquals(memory.offset(region.guest, 1), -1);
    assertEquals(device.report().refusedRequests, 10);
  });
});

Deno.test("a request in pieces is read whole, and answered in pieces", () => {
  withMem(({ memory, region, device, driver }) => {
    device.change({ requestedMiB: 2 });
    Object.assign(MemRequest.at(memory.bytes.buffer, REQUEST), {
      type: PLUG,
      addr: region.guest,
      nb_blocks: 1,
    });
    memory.bytes.fill(0xEE, RESPONSE, RESPONSE + 16);
    send({ memory, device, driver }, [
      { address: REQUEST, length: 11 },
      { address: REQUEST + 11, length: 100 },
      { address: RESPONSE, length: 1, writable: true },
      { address: RESPONSE + 1, length: 100, writable: true },
    ]);
    assertEquals([...memory.bytes.subarray(RESPONSE, RESPONSE + 11)], [...Array(10).fill(0), 0xEE]);
    assertEquals(device.report().pluggedMiB, 2);
  });
});

Deno.test("whatever a driver asks for, blocks and their count stay those of a simple model", () => {
  const step = fc.record({
    type: fc.constantFrom(PLUG, PLUG, UNPLUG, UNPLUG, STATE, UNPLUG_ALL, 9),
    block: fc.integer({ min: -1, max: BLOCKS }),
    count: fc.integer({ min: 0, max: 5 }),
    requested: fc.integer({ min: 0, max: BLOCKS }),
  });
  withMem(({ memory, region, device, ask }) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        assertEquals(ask(UNPLUG_ALL).type, ACK);
        const model = new Array<boolean>(BLOCKS).fill(false);
        const plugged = () => model.filter((it) => it).length;
        for (const { type, block, count, requested } of steps) {
          device.change({ requestedMiB: 2 * requested });
          const range = model.slice(Math.max(block, 0), block + count);
          const valid = block >= 0 && count > 0 && block + count <= BLOCKS;
          const all = (value: boolean) => range.every((it) => it === value);
          let expected: number = ERROR;
          if (type === UNPLUG_ALL) expected = ACK;
          else if (valid && type === STATE) expected = ACK;
          else if (valid && type === UNPLUG && all(true)) expected = ACK;
          else if (valid && type === PLUG && all(false)) {
            expected = plugged() + count > requested ? NACK : ACK;
          }
          const { type: answer, state } = ask(type, block, count);
          assertEquals(answer, expected);
          if (answer !== ACK) continue;
          if (type === STATE) {
            const { PLUGGED, UNPLUGGED, MIXED } = VIRTIO_MEM_STATE;
            assertEquals(state, all(true) ? PLUGGED : all(false) ? UNPLUGGED : MIXED);
          } else if (type === UNPLUG_ALL) model.fill(false);
          else model.fill(type === PLUG, block, block + count);
        }
        assertEquals(device.report().pluggedMiB, 2 * plugged());
        model.forEach((there, i) => {
          assertEquals(memory.offset(region.guest + i * BLOCK, BLOCK) >= 0, there);
          assertEquals(isReachable(memory, region.offset + i * BLOCK), there);
        });
      }),
      { numRuns: 60 },
    );
  });
});

Deno.test("the driver reads where the region is, and how much it is to plug", () => {
  withMem(({ region, device, host }) => {
    const u64 = (offset: number) =>
      device.readConfig(offset, 4) + device.readConfig(offset + 4, 4) * 2 ** 32;
    assertEquals([u64(0), device.readConfig(8, 2)], [BLOCK, 1]);
    assertEquals([u64(16), u64(24), u64(32)], [region.guest, region.length, region.length]);
    assertEquals([u64(40), u64(48)], [0, 4 * MiB]);
    assertEquals(region.guest, 4 * 2 ** 30);
    device.change({ requestedMiB: 6 });
    assertEquals([u64(48), host.configChanges], [6 * MiB, 1]);
    for (const requestedMiB of [-2, 1, 34, 2.5, NaN, "2", null, undefined]) {
      assertThrows(
        () => device.change({ requestedMiB }),
        RangeError,
        "a multiple of 2 from 0 to 32",
      );
    }
    assertThrows(() => device.change({ size: 2 }), TypeError, 'Cannot change "size" of mem0');
    assertEquals(u64(48), 6 * MiB);
    assert(device.features.includes(VIRTIO_MEM_F.ACPI_PXM));
  }, { requestedMiB: 4, node: 1 });
});

Deno.test("a driver that reads memory before it plugs it is refused", () => {
  withMem(({ device, host, driver }) => {
    device.reset();
    assertThrows(
      () => device.activate(host, { queues: [driver.setup], features: new Set() }),
      RangeError,
      "unplugged memory is inaccessible",
    );
  });
});

Deno.test("what is plugged outlives a reset of the device", () => {
  withMem(({ memory, region, device, host, ask }) => {
    device.change({ requestedMiB: 2 });
    assertEquals(ask(PLUG, 5).type, ACK);
    device.reset();
    activate({ device, host, driver: new Driver(memory, { size: 64, base: 0x1000 }) });
    assertEquals(device.report().pluggedMiB, 2);
    assert(memory.offset(region.guest + 5 * BLOCK, BLOCK) >= 0);
  });
});
