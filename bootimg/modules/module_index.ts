/**
 * The modules that the image carries: which to load for a device, and in which order.
 *
 * @module
 */
import { type ModuleInfo, moduleName } from "./modinfo.ts";

/** The index as the image carries it, made by the build and read by PID 1. */
export interface ModuleIndexData {
  modules: Record<string, {
    /** Relative to the folder of modules. */
    file: string;
    depends: string[];
    softdeps: string[];
    /** What it may ask for under /lib/firmware. */
    firmware: string[];
  }>;
  /** Pattern and module's name. */
  aliases: [pattern: string, module: string][];
}

interface Alias {
  pattern: string;
  /** What the pattern begins with before its first wildcard: it rules out most at once. */
  literal: string;
  /** Made when it is first needed: there are thousands, and a start-up needs dozens. */
  regExp?: RegExp;
  module: string;
}

/** Finds modules by name, alias or a device's modalias. */
export class ModuleIndex {
  readonly #data: ModuleIndexData;
  /** Patterns by their bus ("pci", "usb", "acpi" ...), since a device's alias begins alike. */
  readonly #byBus = new Map<string, Alias[]>();

  constructor(data: ModuleIndexData) {
    this.#data = data;
    for (const [pattern, module] of data.aliases) {
      const bus = busOf(pattern);
      const list = this.#byBus.get(bus) ?? [];
      list.push({ pattern, literal: pattern.match(/^[^*?[]*/)![0], module });
      this.#byBus.set(bus, list);
    }
  }

  /** Names of the modules that serve the device with this modalias. */
  forDevice(modalias: string): string[] {
    const found = new Set<string>();
    for (const alias of this.#byBus.get(busOf(modalias)) ?? []) {
      if (!modalias.startsWith(alias.literal)) continue;
      alias.regExp ??= globToRegExp(alias.pattern);
      if (alias.regExp.test(modalias)) found.add(alias.module);
    }
    return [...found];
  }

  /**
   * The files to load for the module `name`, in order. What is not in the index is built into the
   * kernel or was left out on purpose: it is passed over.
   */
  filesFor(name: string): string[] {
    const files: string[] = [];
    const seen = new Set<string>();
    const visit = (wanted: string) => {
      for (const module of this.#resolve(wanted)) {
        if (seen.has(module)) continue;
        seen.add(module);
        const { file, depends, softdeps } = this.#data.modules[module];
        softdeps.forEach(visit);
        depends.forEach(visit);
        files.push(file);
      }
    };
    visit(name);
    return files;
  }

  #resolve(wanted: string): string[] {
    const name = moduleName(wanted);
    if (Object.hasOwn(this.#data.modules, name)) return [name];
    return this.forDevice(wanted);
  }
}

/**
 * Makes the index of the modules `wanted` and all that they need, from the whole kernel's.
 * `describe` tells what the module in a file says of itself; `files` are all that there are.
 */
export async function chooseModules(
  wanted: readonly string[],
  files: readonly string[],
  describe: (file: string) => Promise<ModuleInfo>,
): Promise<ModuleIndexData> {
  const byName = new Map(files.map((file) => [nameOfFile(file), file]));
  const data: ModuleIndexData = { modules: {}, aliases: [] };
  const queue = wanted.map((name) => ({ name: moduleName(name), required: true }));
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { name, required } = next;
    if (Object.hasOwn(data.modules, name)) continue;
    const file = byName.get(name);
    if (file === undefined) {
      if (!required) continue; // An alias, or built in.
      throw new Error(
        `Cannot choose the kernel's modules: it has none called "${name}"; correct the list`,
      );
    }
    const info = await describe(file);
    const { depends, softdeps, firmware } = info;
    data.modules[name] = { file, depends, softdeps, firmware };
    data.aliases.push(...info.aliases.map((it): [string, string] => [it, name]));
    queue.push(...info.depends.map((it) => ({ name: it, required: true })));
    queue.push(...info.softdeps.map((it) => ({ name: it, required: false })));
  }
  return data;
}

/** The name of the module in a file. */
export function nameOfFile(file: string): string {
  return moduleName(file.replace(/^.*\//, "").replace(/\.ko(\.xz)?$/, ""));
}

function busOf(alias: string): string {
  return alias.match(/^[a-z0-9_]+/i)?.[0] ?? "";
}

/** Shell patterns as modules state them: `*`, `?` and `[...]`. */
export function globToRegExp(pattern: string): RegExp {
  let source = "";
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i];
    const close = char === "[" ? pattern.indexOf("]", i + 2) : -1;
    if (char === "*") source += ".*";
    else if (char === "?") source += ".";
    else if (close > 0) {
      const inner = pattern.slice(i + 1, close).replace(/[\\\]^]/g, "\\$&");
      source += `[${inner.replace(/^!/, "^")}]`;
      i = close;
    } else source += char.replace(/[\\^$.|()[\]{}+*?]/g, "\\$&");
  }
  return new RegExp(`^${source}$`, "s");
}
