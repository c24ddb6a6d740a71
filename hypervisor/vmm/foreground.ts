/**
 * A guest in the foreground: its serial port is this terminal.
 *
 * @module
 */
import { EXIT_CODES, type GuestConfig } from "./control.ts";
import { Guest } from "./guest.ts";

/** Ctrl-] */
const ESCAPE = 0x1D;
const READ_BYTES = 1024;

/** Runs the guest until its end; the process's exit code. */
export async function runInForeground(config: GuestConfig): Promise<number> {
  const terminal = Deno.stdin.isTerminal();
  let room = Promise.withResolvers<void>();
  const guest = new Guest(config, {
    serial: (bytes) => {
      try {
        writeAll(bytes);
      } catch (error) {
        // Nobody reads any more: the terminal or the pipe is gone, and so is who could stop the guest.
        console.error(`vmm: Cannot write the guest's output: ${(error as Error).message}`);
        guest.kill();
      }
    },
    serialRoom: () => room.resolve(),
    log: (line) => console.error(`vmm: ${line}`),
  });
  if (terminal) {
    console.error("vmm: Ctrl-] ends the guest");
    Deno.stdin.setRaw(true);
  }
  // A polite end first; the second signal pulls the plug.
  let asked = false;
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    Deno.addSignalListener(name, () => {
      if (asked) guest.kill();
      else guest.pressPowerButton();
      asked = true;
    });
  }
  forwardInput().catch((error) => console.error(`vmm: ${error.message}`));
  const end = await guest.ended;
  if (terminal) Deno.stdin.setRaw(false);
  console.error(`vmm: ${end.message}`);
  return EXIT_CODES[end.reason];

  async function forwardInput(): Promise<void> {
    const buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      const n = await Deno.stdin.read(buffer);
      if (n === null) return;
      if (terminal && buffer.subarray(0, n).includes(ESCAPE)) return guest.kill();
      for (let sent = 0; sent < n;) {
        room = Promise.withResolvers();
        const taken = guest.type(buffer.subarray(sent, n));
        sent += taken;
        if (taken === 0) await room.promise;
      }
    }
  }
}

function writeAll(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
