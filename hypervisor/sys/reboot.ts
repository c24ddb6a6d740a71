/**
 * Powering the machine off, restarting it, and what Ctrl-Alt-Del does.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  reboot: { parameters: ["i32"], result: "i32" },
});

/** What reboot(2) is asked for. */
const COMMANDS = {
  poweroff: 0x4321fedc,
  reboot: 0x01234567,
  halt: 0xcdef0123 | 0,
} as const;

export type PowerCommand = keyof typeof COMMANDS;

/** Ends Linux at once: nothing is synced, unmounted or stopped. Returns only by throwing. */
export function power(command: PowerCommand): void {
  check(libc.symbols.reboot(COMMANDS[command]), `${command} the machine`);
}

/** Has Ctrl-Alt-Del send SIGINT to PID 1 instead of restarting the machine at once. */
export function catchCtrlAltDel(): void {
  check(libc.symbols.reboot(0), "take over Ctrl-Alt-Del");
}
