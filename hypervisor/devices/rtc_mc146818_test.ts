import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Arena } from "../machine/arena.ts";
import { RtcMc146818 } from "./rtc_mc146818.ts";

function clock(now: () => number = () => 0) {
  const rtc = new RtcMc146818(new Arena(), { now });
  rtc.powerOn();
  return {
    rtc,
    get: (index: number) => {
      rtc.write(0, 1, index);
      return rtc.read(1, 1);
    },
    set: (index: number, value: number) => {
      rtc.write(0, 1, index);
      rtc.write(1, 1, value);
    },
  };
}

const fromBcd = (value: number) => (value >> 4) * 10 + (value & 0xF);

Deno.test("the time is the host's in UTC, two decimal digits to a register", () => {
  const { get } = clock(() => Date.UTC(2026, 10, 22, 18, 59, 7));
  assertEquals([0, 2, 4].map(get), [0x07, 0x59, 0x18]);
  assertEquals([7, 8, 9, 0x32].map(get), [0x22, 0x11, 0x26, 0x20]);
  assertEquals(get(6), 1, "a Sunday");
});

Deno.test("any time comes back from the registers", () => {
  const { min, max } = { min: Date.UTC(1970, 0), max: Date.UTC(2099, 11, 31) };
  fc.assert(
    fc.property(
      fc.date({ min: new Date(min), max: new Date(max), noInvalidDate: true }),
      (date) => {
        const { get } = clock(() => date.getTime());
        const [seconds, minutes, hours, day, month, year, century] = [0, 2, 4, 7, 8, 9, 0x32]
          .map((index) => fromBcd(get(index)));
        const time = Date.UTC(century * 100 + year, month - 1, day, hours, minutes, seconds);
        assertEquals(time, Math.floor(date.getTime() / 1000) * 1000);
      },
    ),
  );
});

Deno.test("the clock says that it runs, that its time is valid, and in which form it is", () => {
  const { get, set } = clock();
  assertEquals(get(0xA) & 0x80, 0, "no update in progress");
  assertEquals(get(0xD), 0x80);
  assertEquals(get(0xB) & 0x06, 0x02, "24 hours, decimal");
  set(0xB, 0xFF);
  assertEquals(get(0xB) & 0x86, 0x02, "a driver can change neither, nor stop it");
  assertEquals(get(0xC), 0, "no interrupt is pending");
});

Deno.test("a guest that sets the time changes nothing, and finds its other bytes again", () => {
  const { get, set } = clock(() => Date.UTC(2026, 0));
  set(9, 0x99);
  set(0xD, 0);
  assertEquals([get(9), get(0xD)], [0x26, 0x80]);
  set(0x40, 0x5A);
  // The index's highest bit masks NMI and is no part of it.
  assertEquals(get(0x80 | 0x40), 0x5A);
});

Deno.test("no sequence of accesses throws or gives more than a byte", () => {
  const access = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0xFFFF_FFFF }));
  fc.assert(fc.property(fc.array(access), (accesses) => {
    const { rtc } = clock(() => 1e12);
    for (const [offset, value] of accesses) {
      rtc.write(offset, 4, value);
      const read = rtc.read(offset, 4);
      assert(read >= 0 && read <= 0xFF);
    }
  }));
});
