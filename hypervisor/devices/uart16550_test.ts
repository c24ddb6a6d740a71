import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Arena } from "../machine/arena.ts";
import type { SendTask } from "./testing/uart_guest_worker.ts";
import { Uart16550 } from "./uart16550.ts";

const [THR, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const RDI = 1;
const THRI = 2;
const CAUSE = { none: 1, empty: 2, received: 4 };
const TX_BYTES = 65536;
const RX_BYTES = 4096;

function port() {
  const seen = { interrupts: 0, wakes: 0 };
  const arena = new Arena();
  const uart = new Uart16550(arena, {
    name: "serial0",
    interrupt: () => seen.interrupts++,
    wakeHost: () => seen.wakes++,
  });
  uart.powerOn();
  const read = (register: number) => uart.read(register, 1);
  const write = (register: number, value: number) => uart.write(register, 1, value);
  return {
    arena,
    uart,
    seen,
    read,
    write,
    cause: () => read(IIR) & 0xF,
    /** How many interrupts there were since it was last asked. */
    interrupts: () => {
      const n = seen.interrupts;
      seen.interrupts = 0;
      return n;
    },
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("what the guest sends comes out, what is typed comes in, in order", () => {
  const { uart, read, write } = port();
  for (const byte of bytes("login: ")) write(THR, byte);
  assertEquals(uart.transmit(), bytes("login: "));
  assertEquals(uart.transmit().length, 0);
  assertEquals(uart.receive(bytes("root\n")), 5);
  let typed = "";
  while (read(LSR) & 1) typed += String.fromCharCode(read(THR));
  assertEquals(typed, "root\n");
  assertEquals(read(THR), 0);
});

Deno.test("the divisor hides data and interrupt enable while the latch bit is set", () => {
  const { uart, read, write } = port();
  write(IER, 5);
  write(LCR, 0x83);
  write(THR, 0x34);
  write(IER, 0x12);
  assertEquals([read(THR), read(IER), read(LCR)], [0x34, 0x12, 0x83]);
  write(LCR, 3);
  assertEquals(read(IER), 5);
  assertEquals(uart.transmit().length, 0);
});

Deno.test("a byte that is typed interrupts where that is enabled, and is the cause until it is read", () => {
  const { uart, read, write, cause, interrupts } = port();
  uart.receive(bytes("a"));
  assertEquals([interrupts(), cause()], [0, CAUSE.none]);
  write(IER, RDI);
  assertEquals([interrupts(), cause()], [1, CAUSE.received]);
  uart.receive(bytes("bc"));
  assertEquals(interrupts(), 1);
  for (let i = 0; i < 3; i++) {
    assertEquals(cause(), CAUSE.received);
    read(THR);
  }
  assertEquals(cause(), CAUSE.none);
});

Deno.test("an empty transmitter interrupts once it is asked for, and after each byte", () => {
  const { write, cause, interrupts } = port();
  write(IER, THRI);
  assertEquals([interrupts(), cause()], [1, CAUSE.empty]);
  assertEquals(cause(), CAUSE.none, "reading the cause clears it");
  write(IER, THRI);
  assertEquals([interrupts(), cause()], [0, CAUSE.none], "it was enabled before");
  write(THR, 65);
  assertEquals([interrupts(), cause()], [1, CAUSE.empty]);
  write(IER, 0);
  write(IER, THRI);
  assertEquals([interrupts(), cause()], [1, CAUSE.empty]);
});

Deno.test("a byte that was received is more urgent than an empty transmitter, and hides no other", () => {
  const { uart, read, write, cause } = port();
  write(IER, RDI | THRI);
  uart.receive(bytes("x"));
  assertEquals([cause(), cause()], [CAUSE.received, CAUSE.received]);
  read(THR);
  assertEquals([cause(), cause()], [CAUSE.empty, CAUSE.none]);
});

Deno.test("a full ring makes the guest wait, loses nothing, and says when there is room again", () => {
  const { uart, read, write, cause, interrupts } = port();
  write(IER, THRI);
  cause();
  let sent = 0;
  while (read(LSR) & 0x20) write(THR, sent++ & 0xFF);
  assertEquals(sent, TX_BYTES);
  cause();
  interrupts();
  assertEquals(cause(), CAUSE.none);
  const out = uart.transmit();
  assertEquals(out.length, TX_BYTES);
  assert(out.every((byte, i) => byte === (i & 0xFF)));
  // A driver looks for the cause first, and does nothing where there is none.
  assertEquals([interrupts(), cause()], [1, CAUSE.empty]);
  assertEquals(read(LSR) & 0x60, 0x60);
  uart.transmit();
  assertEquals([interrupts(), cause()], [0, CAUSE.none]);
});

Deno.test("a full ring is no empty transmitter, whenever that is asked", () => {
  const { uart, read, write, cause, interrupts } = port();
  while (read(LSR) & 0x20) write(THR, 1);
  write(THR, 2);
  write(IER, THRI);
  assertEquals([interrupts(), cause()], [0, CAUSE.none]);
  assertEquals(uart.transmit().length, TX_BYTES);
  assertEquals([interrupts(), cause()], [1, CAUSE.empty]);
});

Deno.test("more than fits is taken in part, and the host is told once all of it is read", () => {
  const { uart, seen, read } = port();
  assertEquals(uart.receive(new Uint8Array(RX_BYTES - 1)), RX_BYTES - 1);
  assertEquals(uart.receive(bytes("abc")), 1);
  assertEquals(uart.receive(bytes("bc")), 0);
  for (let i = 0; i < RX_BYTES - 1; i++) assertEquals(read(THR), 0);
  assertEquals(seen.wakes, 0);
  assertEquals(read(THR), bytes("a")[0]);
  assertEquals(seen.wakes, 1);
});

Deno.test("the host is woken once for a burst, and again only after it has gone to sleep", () => {
  const { uart, seen, write } = port();
  for (let i = 0; i < 100; i++) write(THR, 1);
  assertEquals(seen.wakes, 1);
  assert(!uart.sleep(), "there is something to look at");
  assertEquals(uart.transmit().length, 100);
  assert(uart.sleep());
  write(THR, 2);
  assertEquals([seen.wakes, uart.transmit().length], [2, 1]);
});

Deno.test("loopback receives what it sends, shows its outputs as inputs, and leaves the cable alone", () => {
  const { uart, read, write, cause, interrupts } = port();
  uart.receive(bytes("typed"));
  assertEquals(read(MSR), 0xB0);
  write(MCR, 0x10);
  assertEquals([read(MSR), read(LSR) & 1], [0, 0]);
  for (const [out, input] of [[1, 0x20], [2, 0x10], [4, 0x40], [8, 0x80]]) {
    write(MCR, 0x10 | out);
    assertEquals(read(MSR), input);
  }
  write(IER, RDI);
  interrupts();
  write(THR, 0x5A);
  assertEquals([interrupts(), cause(), read(LSR) & 1], [1, CAUSE.received, 1]);
  assertEquals([read(THR), read(LSR) & 1], [0x5A, 0]);
  assertEquals(uart.transmit().length, 0);
  write(MCR, 0);
  assertEquals([interrupts(), read(THR)], [1, bytes("t")[0]]);
});

Deno.test("a driver that looks for known chips finds a 16550A with working interrupts", () => {
  const { read, write } = port();
  // Is there a port: the enable register holds what is written, and no more than four bits.
  write(IER, 0);
  assertEquals(read(IER) & 0xF, 0);
  write(IER, 0xFF);
  assertEquals(read(IER), 0xF);
  write(IER, 0);
  // Loopback with OUT2 and RTS shows as carrier and clear to send.
  write(MCR, 0x1A);
  assertEquals(read(MSR) & 0xF0, 0x90);
  write(MCR, 0);
  // FIFOs: both bits say 16550A; the 16650's and 16750's extra registers are not there.
  assertEquals(read(IIR) >> 6, 0);
  write(IIR, 1);
  assertEquals(read(IIR) >> 6, 3);
  for (const mode of [0x80, 0xBF]) {
    write(LCR, mode);
    assert(read(2) !== 0);
  }
  write(LCR, 0);
  const [mcr, excr] = [read(MCR), (write(LCR, 0xE0), read(2))];
  assertEquals((mcr ^ excr) & 0x10, 0);
  write(LCR, 0);
  write(MCR, mcr ^ 0x10);
  write(LCR, 0xE0);
  assertEquals((read(2) ^ mcr) & 0x10, 0);
  write(LCR, 0);
  write(MCR, mcr);
  write(IIR, 0x21);
  const short = read(IIR) >> 5;
  write(LCR, 0x80);
  write(IIR, 0x21);
  assertEquals([short, read(IIR) >> 5], [6, 6]);
  write(LCR, 0);
  write(SCR, 0xA5);
  assertEquals(read(SCR), 0xA5);
  // Does enabling it raise "transmitter empty", the first time and again.
  for (let i = 0; i < 2; i++) {
    write(IER, THRI);
    assertEquals(read(IIR) & 1, 0);
    write(IER, 0);
  }
  write(IER, THRI);
  assertEquals([read(LSR) & 0x40, read(IIR) & 1], [0x40, 0]);
});

Deno.test("no sequence of accesses throws or gives more than a byte", () => {
  const action = fc.record({
    what: fc.constantFrom("read", "write", "receive", "transmit", "sleep"),
    offset: fc.integer({ min: 0, max: 8 }),
    size: fc.constantFrom(1, 2, 4),
    value: fc.integer({ min: 0, max: 0xFFFF_FFFF }),
  });
  fc.assert(fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
    const { uart } = port();
    for (const { what, offset, size, value } of actions) {
      if (what === "write") uart.write(offset, size, value);
      else if (what === "transmit") uart.transmit();
      else if (what === "sleep") uart.sleep();
      else if (what === "receive") {
        const taken = uart.receive(new Uint8Array(value % 5000));
        assert(taken >= 0 && taken <= value % 5000);
      } else {
        const read = uart.read(offset, size);
        assert(read >= 0 && read <= 0xFF);
      }
    }
  }));
});

Deno.test("a host that sleeps whenever it may gets every byte of a guest on another thread", async () => {
  const BYTES = 6_000;
  const arena = new Arena();
  const uart = new Uart16550(arena, { name: "serial0", interrupt: () => {}, wakeHost: () => {} });
  uart.powerOn();
  let received = 0;
  let wrong = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    timer = undefined;
    const bytes = uart.transmit();
    for (const byte of bytes) if (byte !== (received++ & 0xFF)) wrong++;
    if (bytes.length === 0 && uart.sleep()) return;
    timer ??= setTimeout(look);
  };
  const url = new URL("./testing/uart_guest_worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  const done = new Promise<void>((resolve, reject) => {
    worker.onmessage = ({ data }) => data === "wake" ? look() : resolve();
    worker.onerror = (event) => reject(new Error(event.message));
  });
  uart.sleep();
  worker.postMessage({ arena: arena.buffer, bytes: BYTES } satisfies SendTask);
  await done;
  // Every wake-up was delivered before this; a host that sleeps now has been told of everything.
  while (timer !== undefined) await new Promise((resolve) => setTimeout(resolve));
  assertEquals([received, wrong], [BYTES, 0]);
});
