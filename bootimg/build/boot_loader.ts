/**
 * The boot loader, GRUB, as a program for UEFI and as what a BIOS starts from a disk's first sector.
 *
 * @module
 */
import { CHECKOUT } from "../../scripts/setup/checkout.ts";
import { readLock } from "../../scripts/setup/debs.ts";
import { BOOT_CODE_BYTES } from "../disk/disk_table.ts";
import { SECTOR_BYTES } from "../disk/gpt.ts";
import { NUMBERS } from "../slots/places.ts";
import { packCpio } from "./cpio.ts";
import { runTool, TOOLS_LOCK, toolsFolder } from "./tools.ts";

/** What the program in `loader/grub.cfg` uses, and what it needs to be found and read. */
const MODULES = [
  ...["normal", "memdisk", "newc", "part_gpt", "fat"],
  ...["boot", "echo", "loadenv", "reboot", "regexp", "sleep", "test"],
];
const EFI_MODULES = ["chain"];
const BIOS_MODULES = ["biosdisk", "linux", "loopback", "probe", "serial", "configfile"];

/** The loader for both kinds of firmware. */
export interface BootLoader {
  /** Path of the program for UEFI. */
  efi: string;
  /** The code of the disk's first sector. */
  mbr: Uint8Array;
  /** What that loads, to be put at the sector that it was made for. */
  core: Uint8Array;
}

/** Makes the loader in `folder`, which exists; `coreSector` is where the disk will have the core. */
export async function makeBootLoader(
  folder: string,
  options: { coreSector: number },
): Promise<BootLoader> {
  const program = `${folder}/loader.cpio`;
  const config = await Deno.readFile(`${CHECKOUT}/bootimg/loader/grub.cfg`);
  const archive = packCpio(new Map([["grub.cfg", { kind: "file", bytes: config }]]));
  await Deno.writeFile(program, await new Blob(archive).bytes());
  const first = `${folder}/loader.first`;
  await Deno.writeTextFile(first, "normal (memdisk)/grub.cfg\n");
  const sbat = `${folder}/loader.sbat`;
  await Deno.writeTextFile(sbat, await sbatText());
  const efi = `${folder}/grubx64.efi`;
  // Where no disk is named, it is the one that the firmware started the loader from.
  await mkimage("x86_64-efi", {
    ...{ program, first, out: efi, modules: EFI_MODULES },
    more: ["--prefix", "/EFI/BOOT", "--sbat", sbat],
  });
  const core = `${folder}/core.img`;
  await mkimage("i386-pc", {
    ...{ program, first, out: core, modules: BIOS_MODULES },
    more: ["--prefix", `(,gpt${NUMBERS.boot})/EFI/BOOT`],
  });
  const boot = await Deno.readFile(`${await toolsFolder()}/usr/lib/grub/i386-pc/boot.img`);
  return {
    efi,
    mbr: placeMbr(boot, options.coreSector),
    core: placeCore(await Deno.readFile(core), options.coreSector),
  };
}

async function mkimage(
  platform: string,
  options: { program: string; first: string; out: string; modules: string[]; more: string[] },
): Promise<void> {
  const { program, first, out, modules, more } = options;
  await runTool([
    "grub-mkimage",
    ...["--format", platform, "--directory", `${await toolsFolder()}/usr/lib/grub/${platform}`],
    ...["--memdisk", program, "--config", first, "--output", out],
    ...more,
    ...MODULES,
    ...modules,
  ]);
}

/** What a revocation of loaders under Secure Boot goes by: which GRUB this is, and whose. */
async function sbatText(): Promise<string> {
  const { trixie } = await readLock(TOOLS_LOCK);
  const { version } = trixie!["grub-efi-amd64-bin"];
  const home = "https://github.com/rhboot/shim/blob/main/SBAT.md";
  const upstream = version.replace(/-.*$/, "");
  return [
    `sbat,1,SBAT Version,sbat,1,${home}`,
    `grub,5,Free Software Foundation,grub,${upstream},https://www.gnu.org/software/grub/`,
    `grub.debian,5,Debian,grub2,${version},https://tracker.debian.org/pkg/grub2`,
  ].join("\n") + "\n";
}

/** Where GRUB's code for the first sector keeps what an installation fills in. */
const KERNEL_SECTOR_AT = 0x5c;
const DRIVE_CHECK_AT = 0x66;
/** Two instructions that do nothing. */
const NOPS = 0x9090;

/** The first sector's code, told where the core begins. */
export function placeMbr(boot: Uint8Array, coreSector: number): Uint8Array {
  if (boot.length !== SECTOR_BYTES) {
    throw new RangeError(`Cannot use GRUB's boot.img: it has ${boot.length} bytes, not 512`);
  }
  const code = boot.slice(0, BOOT_CODE_BYTES);
  const view = new DataView(code.buffer);
  view.setBigUint64(KERNEL_SECTOR_AT, BigInt(coreSector), true);
  // It then also serves BIOSes that tell it the number of a floppy drive.
  view.setUint16(DRIVE_CHECK_AT, NOPS, true);
  return code;
}

/** The core, whose first sector is told where the others are. */
export function placeCore(core: Uint8Array, coreSector: number): Uint8Array {
  const sectors = Math.ceil(core.length / SECTOR_BYTES);
  const placed = new Uint8Array(sectors * SECTOR_BYTES);
  placed.set(core);
  // The list's first and only entry, at the sector's end: start, count, segment to load it at.
  const view = new DataView(placed.buffer, SECTOR_BYTES - 12, 12);
  view.setBigUint64(0, BigInt(coreSector + 1), true);
  view.setUint16(8, sectors - 1, true);
  return placed;
}
