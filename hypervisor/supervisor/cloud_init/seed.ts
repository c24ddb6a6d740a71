/**
 * The disk by which a guest's system is told who it is: cloud-init's data source NoCloud, which looks for a
 * volume with the label `cidata`.
 *
 * It is made anew for each VMM that runs the guest, out of what the guest's run has kept, and lies in that
 * VMM's directory. So nothing of it has to be copied, synced or swept; and wherever a guest goes on, its disk
 * has the same bytes as before, but for what a fork's child has of its own.
 *
 * @module
 */
import { join } from "@std/path";
import type { DiskConfig } from "../../vmm/control.ts";
import type * as z from "zod";
import { HostName } from "../api/names.ts";
import { CloudInit } from "../api/schemas.ts";
import { isoImage } from "./iso9660.ts";

/** How every version of it is called in the VMM's directory. */
const FILE = "cidata.iso";
const LABEL = "cidata";
/** By which the guest may know the disk: `/dev/disk/by-id/virtio-cidata`. */
const SERIAL = "cidata";
/** Always the same, and room for the most of everything: a disk does not change its size in a running guest. */
export const SEED_BYTES = 512 * 1024;
/** Without it, cloud-init does not take the disk for its own. */
const NO_USER_DATA = "#cloud-config\n{}\n";

/** What the system is told; its name is settled. */
export const Seed = CloudInit.extend({ hostname: HostName });
export type Seed = z.output<typeof Seed>;

/** What a guest that starts now is told; null where it is to have no such disk. */
export function seedOf(
  { name, cloudInit }: { name: string; cloudInit: CloudInit | null },
): Seed | null {
  return cloudInit && { ...cloudInit, hostname: cloudInit.hostname ?? name };
}

/** The content of the disk. */
export function seedImage(seed: Seed): Uint8Array<ArrayBuffer> {
  const { userData, networkConfig } = seed;
  const file = (name: string, text: string) => ({ name, bytes: new TextEncoder().encode(text) });
  const files = [file("meta-data", metaData(seed)), file("user-data", userData ?? NO_USER_DATA)];
  if (networkConfig !== null) files.push(file("network-config", networkConfig));
  return isoImage(files, { label: LABEL, bytes: SEED_BYTES });
}

/** YAML: what JSON has as a text is one there too. */
function metaData({ instanceId, hostname, sshKeys }: Seed): string {
  const quoted = (text: string) => JSON.stringify(text);
  const lines = [`instance-id: ${quoted(instanceId)}`, `local-hostname: ${quoted(hostname)}`];
  if (sshKeys.length > 0) lines.push("public-keys:", ...sshKeys.map((it) => `  - ${quoted(it)}`));
  return lines.join("\n") + "\n";
}

/** Where the disk lies in a VMM's directory. */
export function seedPath(directory: string): string {
  return join(directory, FILE);
}

/** Puts the disk, where there is to be one, into the directory of a VMM that is about to run the guest. */
export function writeSeed(directory: string, seed: Seed | null): void {
  if (seed === null) return;
  // There may be passwords in it.
  Deno.writeFileSync(seedPath(directory), seedImage(seed), { mode: 0o600 });
}

/** The disk as a VMM is told of it. */
export function seedDisk(path: string): DiskConfig {
  return { path, serial: SERIAL, readonly: true };
}
