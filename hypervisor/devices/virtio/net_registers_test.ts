import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Arena } from "../../machine/arena.ts";
import { MAC_BYTES, VIRTIO_NET_CTRL_RX as MODE } from "./net_protocol.ts";
import { MAX_TABLE, NetRegisters } from "./net_registers.ts";

const OWN = [0x52, 0x54, 0, 0, 0, 1];
const BROADCAST = new Array(MAC_BYTES).fill(0xff);

function registers(): NetRegisters {
  const it = new NetRegisters(new Arena(), "net0");
  it.reset(Uint8Array.from(OWN));
  return it;
}

/** Two tables as a driver writes them. */
function tables(stations: number, groups: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8 + MAC_BYTES * (stations + groups));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, stations, true);
  bytes.fill(0x02, 4, 4 + MAC_BYTES * stations);
  view.setUint32(4 + MAC_BYTES * stations, groups, true);
  bytes.fill(0x03, 8 + MAC_BYTES * stations);
  return bytes;
}

function set(it: NetRegisters, stations: number, groups: number): boolean {
  const bytes = tables(stations, groups);
  return it.setTables(bytes, bytes.length);
}

Deno.test("a driver that has said nothing gets every frame", () => {
  assertEquals(registers().filter(), undefined);
});

Deno.test("a driver that is not promiscuous gets its own frames, broadcasts and what its tables name", () => {
  const it = registers();
  it.setRxMode(MODE.PROMISC, false);
  assertEquals(it.filter(), {
    addresses: Uint8Array.from([...OWN, ...BROADCAST]),
    allMulticast: false,
  });
  assertEquals(set(it, 1, 2), true);
  const station = new Array(MAC_BYTES).fill(2);
  const groups = new Array(2 * MAC_BYTES).fill(3);
  assertEquals(
    it.filter()?.addresses,
    Uint8Array.from([...OWN, ...station, ...BROADCAST, ...groups]),
  );
  it.setRxMode(MODE.ALLMULTI, true);
  assertEquals(it.filter(), {
    addresses: Uint8Array.from([...OWN, ...station, ...BROADCAST]),
    allMulticast: true,
  });
  it.setRxMode(MODE.NOMULTI, true);
  assertEquals(it.filter()?.allMulticast, false);
  it.setRxMode(MODE.NOBCAST, true);
  it.setRxMode(MODE.NOUNI, true);
  // Nobody's, which is not the same as no filter.
  assertEquals(it.filter()?.addresses, new Uint8Array(MAC_BYTES));
  it.setRxMode(MODE.ALLUNI, true);
  assertEquals(it.filter(), undefined);
});

Deno.test("tables that are too long let everything of their kind through", () => {
  const it = registers();
  it.setRxMode(MODE.PROMISC, false);
  assertEquals(set(it, 0, MAX_TABLE + 1), true);
  assertEquals(it.filter()?.allMulticast, true);
  assertEquals(set(it, MAX_TABLE, 1), true);
  assertEquals(it.filter()?.allMulticast, true);
  assertEquals(set(it, MAX_TABLE + 1, 0), true);
  assertEquals(it.filter(), undefined);
  assertEquals(set(it, 1, 1), true);
  assertEquals(it.filter()?.allMulticast, false);
});

Deno.test("a reset forgets what the driver had set", () => {
  const it = registers();
  it.setRxMode(MODE.PROMISC, false);
  set(it, 3, 3);
  it.config.mac.fill(2);
  it.state.active_pairs = 4;
  it.reset(Uint8Array.from(OWN));
  assertEquals(it.filter(), undefined);
  assertEquals([...it.config.mac], OWN);
  assertEquals(it.state.active_pairs, 1);
});

Deno.test("whatever a driver writes as tables, they are what it wrote, or refused", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 700 }),
    fc.tuple(fc.nat(70), fc.nat(70), fc.integer({ min: -8, max: 8 })).map(([s, g, change]) => {
      const whole = tables(s, g);
      return change < 0
        ? whole.slice(0, change)
        : Uint8Array.from([...whole, ...new Array(change)]);
    }),
  );
  fc.assert(
    fc.property(bytes, (bytes) => {
      const it = registers();
      it.setRxMode(MODE.PROMISC, false);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const taken = it.setTables(bytes, bytes.length);
      const stations = bytes.length >= 4 ? view.getUint32(0, true) : NaN;
      const second = 4 + MAC_BYTES * stations;
      const groups = second + 4 <= bytes.length ? view.getUint32(second, true) : NaN;
      const exact = bytes.length === second + 4 + MAC_BYTES * groups;
      if (exact) assertEquals(taken, true);
      if (!taken) assertEquals(exact, false);
      const filter = it.filter();
      if (exact && stations + groups <= MAX_TABLE) {
        assertEquals(filter?.addresses.length, MAC_BYTES * (2 + stations + groups));
      }
      if (filter) assertEquals(filter.addresses.length <= MAC_BYTES * (2 + MAX_TABLE), true);
    }),
    { numRuns: 500 },
  );
});
