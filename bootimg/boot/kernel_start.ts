/**
 * What the kernel was started with, and how long ago.
 *
 * @module
 */
import { read } from "./sysfs.ts";

/** Whether the kernel's command line has a word. */
export function hasWord(word: string): boolean {
  return read("/proc/cmdline")?.split(/\s+/).includes(word) ?? false;
}

export function uptimeSeconds(): number {
  return Number(read("/proc/uptime")?.split(" ")[0] ?? 0);
}

export function uptime(): string {
  return `${uptimeSeconds()} s after the kernel's start`;
}

/** The value of a word such as `denovisor.trial=60` on a command line; undefined without it. */
export function wordValue(cmdline: string, name: string): string | undefined {
  // What follows the dashes is the first process's.
  const words = cmdline.replace(/\s--\s.*$/s, "").split(/\s+/);
  return words.find((it) => it.startsWith(`${name}=`))?.slice(name.length + 1);
}
