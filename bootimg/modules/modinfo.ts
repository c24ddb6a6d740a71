/**
 * What a kernel module says of itself: its name, what it needs and which devices it is for.
 *
 * @module
 */

export interface ModuleInfo {
  name: string;
  /** Names of modules that must be loaded before. */
  depends: string[];
  /** Names or aliases of modules that should be loaded before, where they exist. */
  softdeps: string[];
  /** Patterns of the modaliases of devices, and other names it answers to. */
  aliases: string[];
  /** Files that it may ask for, by the names under which Linux looks for them. */
  firmware: string[];
}

/** Reads the `.modinfo` section of a module, an ELF object of 64 bits. */
export function parseModule(elf: Uint8Array): ModuleInfo {
  const section = elfSection(elf, ".modinfo");
  return parseModinfo(new TextDecoder().decode(section));
}

/** Reads the section's text: `key=value` strings, each ended by a zero byte. */
export function parseModinfo(text: string): ModuleInfo {
  const info: ModuleInfo = { name: "", depends: [], softdeps: [], aliases: [], firmware: [] };
  for (const line of text.split("\0")) {
    const at = line.indexOf("=");
    const value = line.slice(at + 1);
    switch (line.slice(0, Math.max(at, 0))) {
      case "name":
        info.name = value;
        break;
      case "depends":
        info.depends = value.split(",").filter((it) => it !== "").map(moduleName);
        break;
      case "softdep":
        info.softdeps.push(...preDependencies(value));
        break;
      case "firmware":
        info.firmware.push(value);
        break;
      case "alias":
        info.aliases.push(value);
        break;
    }
  }
  if (info.name === "") throw new SyntaxError("Cannot read a kernel module: it states no name");
  info.name = moduleName(info.name);
  return info;
}

/** Module names are the same with "-" and "_". */
export function moduleName(name: string): string {
  return name.replaceAll("-", "_");
}

/** "pre: a b post: c" gives a and b: what comes after can wait until a device asks for it. */
function preDependencies(softdep: string): string[] {
  const names: string[] = [];
  let before = false;
  for (const word of softdep.split(/\s+/)) {
    if (word === "pre:") before = true;
    else if (word === "post:") before = false;
    else if (before && word !== "") names.push(moduleName(word));
  }
  return names;
}

const ELF_MAGIC = 0x464c457f;
/** EI_CLASS 2 and EI_DATA 1. */
const CLASS_64_LITTLE_ENDIAN = 0x0201;
const SECTION_HEADER_BYTES = 64;

function elfSection(elf: Uint8Array, wanted: string): Uint8Array {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  try {
    if (view.getUint32(0, true) !== ELF_MAGIC || view.getUint16(4) !== CLASS_64_LITTLE_ENDIAN) {
      throw new SyntaxError("Cannot read a kernel module: it is not an ELF object of 64 bits");
    }
    const headers = Number(view.getBigUint64(40, true));
    const count = view.getUint16(60, true);
    const header = (index: number) => {
      const at = headers + index * SECTION_HEADER_BYTES;
      return {
        name: view.getUint32(at, true),
        offset: Number(view.getBigUint64(at + 24, true)),
        size: Number(view.getBigUint64(at + 32, true)),
      };
    };
    const names = header(view.getUint16(62, true));
    for (let i = 0; i < count; i++) {
      const { name, offset, size } = header(i);
      const start = names.offset + name;
      const end = elf.indexOf(0, start);
      if (new TextDecoder().decode(elf.subarray(start, end)) !== wanted) continue;
      if (offset + size > elf.length) break;
      return elf.subarray(offset, offset + size);
    }
  } catch (error) {
    // A header that points outside the file.
    if (!(error instanceof RangeError)) throw error;
  }
  throw new SyntaxError(`Cannot read a kernel module: it has no section ${wanted}`);
}
