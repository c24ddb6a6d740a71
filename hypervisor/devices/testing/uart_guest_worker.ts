/**
 * A guest's side of the serial port on a thread of its own, for the test of the port's wake-ups.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { Arena } from "../../machine/arena.ts";
import { Uart16550 } from "../uart16550.ts";

export interface SendTask {
  arena: SharedArrayBuffer;
  bytes: number;
}

const LSR_THRE = 0x20;

/** Long enough for the other side to fall asleep now and then, in turns of an empty loop. */
const PAUSES = [0, 1, 10, 100, 1_000, 10_000];

self.onmessage = ({ data }: MessageEvent<SendTask>) => {
  const uart = new Uart16550(new Arena(data.arena), {
    name: "serial0",
    interrupt: () => {},
    wakeHost: () => self.postMessage("wake"),
  });
  const idle = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < data.bytes; i++) {
    while ((uart.read(5, 1) & LSR_THRE) === 0);
    uart.write(0, 1, i & 0xFF);
    for (let n = PAUSES[(i * 7) % PAUSES.length]; n > 0; n--) Atomics.load(idle, 0);
  }
  self.postMessage("done");
  self.close();
};
