/**
 * The whole system as one file: kernel, root and command line as a program for UEFI.
 *
 * @module
 */
import { runTool, toolsFolder } from "./tools.ts";

/**
 * - Deno is the first process, straight from the kernel: there is no shell in between.
 * - Serial last: it is the console where there is no display, and what PID 1 says before it has its
 *   own screen goes there.
 * - panic=10: a host that nobody watches tries again.
 */
export const COMMAND_LINE = [
  "rdinit=/bin/deno",
  "console=tty0",
  "console=ttyS0,115200",
  "quiet",
  "loglevel=1",
  "panic=10",
  "consoleblank=0",
  "vt.global_cursor_default=0",
  "random.trust_cpu=on",
  "NO_COLOR=1",
  "DENO_NO_UPDATE_CHECK=1",
  "DENO_DIR=/tmp/deno",
  "--",
  "run",
  "-A",
  "--quiet",
  "--no-config",
  "--no-remote",
  "--no-npm",
  "--no-lock",
  "--no-prompt",
  "--no-check",
  "/app/boot.js",
].join(" ");

export interface BootFileParts {
  kernel: string;
  release: string;
  version: string;
  /** Packed roots: unpacked one over the other. */
  archives: readonly string[];
}

/** Writes the file to `path`. */
export async function makeBootFile(path: string, parts: BootFileParts): Promise<void> {
  const osRelease = [
    "ID=denovisor",
    'NAME="Denovisor"',
    `VERSION_ID="${parts.version}"`,
    `PRETTY_NAME="Denovisor ${parts.version}"`,
  ].join("\n");
  await runTool([
    "ukify",
    "build",
    `--linux=${parts.kernel}`,
    ...parts.archives.map((it) => `--initrd=${it}`),
    `--cmdline=${COMMAND_LINE}`,
    `--os-release=${osRelease}\n`,
    `--uname=${parts.release}`,
    `--stub=${await toolsFolder()}/usr/lib/systemd/boot/efi/linuxx64.efi.stub`,
    `--output=${path}`,
  ]);
}
