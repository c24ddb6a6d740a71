/**
 * Drivers for the devices that are there and for those that come.
 *
 * @module
 */
import { loadModule } from "../../hypervisor/sys/modules.ts";
import { type Uevent, uevents } from "../../hypervisor/sys/uevents.ts";
import { ModuleIndex, nameOfFile } from "../modules/module_index.ts";
import { attempt, log, reason } from "./log.ts";
import { names, read } from "./sysfs.ts";

/** What a timer can count. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What modules are told that would do more than they are loaded for. */
const PARAMETERS: Readonly<Record<string, string>> = {
  // It makes a bond of its own accord otherwise.
  bonding: "max_bonds=0",
};

/** Loads drivers, and tells who wants to know when devices come and go. */
export class Coldplug {
  readonly #index: ModuleIndex;
  readonly #folder: string;
  /** By file: each is tried once, and whoever needs it waits for the same try. */
  readonly #loading = new Map<string, Promise<boolean>>();
  readonly #listeners = new Set<(event: Uevent) => void>();

  /** `folder` holds the modules and their index, `index.json`. */
  static async open(folder: string): Promise<Coldplug> {
    const data = JSON.parse(await Deno.readTextFile(`${folder}/index.json`));
    return new Coldplug(new ModuleIndex(data), folder);
  }

  private constructor(index: ModuleIndex, folder: string) {
    this.#index = index;
    this.#folder = folder;
  }

  /** Loads the module `name` and what it needs; a failure is logged and told by the answer. */
  async load(name: string): Promise<boolean> {
    let loaded = true;
    for (const file of this.#index.filesFor(name)) {
      if (!this.#loading.has(file)) this.#loading.set(file, this.#loadFile(file));
      loaded = await this.#loading.get(file)! && loaded;
    }
    return loaded;
  }

  /** Loads several modules, at the same time where they do not need each other. */
  async loadAll(names: Iterable<string>): Promise<void> {
    await Promise.all(Array.from(names, (name) => this.load(name)));
  }

  /** Listens for devices from now on, and loads the drivers of all that are there. */
  start(): void {
    attempt("Cannot listen for devices", async () => {
      const events = uevents();
      this.#loadForAll();
      for await (const event of events) this.#heard(event);
    });
  }

  /** Calls `listener` for each device that comes, goes or changes. */
  listen(listener: (event: Uevent) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Returns what `find` finds, asking again whenever a device of `subsystem` changes; undefined if it
   * still finds nothing after `limitMs`.
   */
  async until<T>(
    subsystem: string,
    find: () => T | undefined | Promise<T | undefined>,
    limitMs: number,
  ): Promise<T | undefined> {
    const end = performance.now() + limitMs;
    let change = Promise.withResolvers<void>();
    const listener = (event: Uevent) => {
      if (event.env.SUBSYSTEM === subsystem) change.resolve();
    };
    this.#listeners.add(listener);
    try {
      while (true) {
        const found = await find();
        const left = end - performance.now();
        if (found !== undefined || left <= 0) return found;
        const timer = Promise.withResolvers<void>();
        const handle = setTimeout(timer.resolve, Math.min(left, LONGEST_TIMER_MS));
        await Promise.race([change.promise, timer.promise]);
        clearTimeout(handle);
        change = Promise.withResolvers<void>();
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }

  #heard(event: Uevent): void {
    if (event.action === "add" && event.env.MODALIAS) this.#loadFor(event.env.MODALIAS);
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        log(reason(error), "error");
      }
    }
  }

  async #loadFile(file: string): Promise<boolean> {
    try {
      await loadModule(`${this.#folder}/${file}`, PARAMETERS[nameOfFile(file)]);
      return true;
    } catch (error) {
      // Not fatal in itself: kvm-amd on an Intel machine, crc32c-intel on an old one.
      log(reason(error), "warning");
      return false;
    }
  }

  #loadFor(modalias: string): void {
    attempt(
      `Cannot load drivers for "${modalias}"`,
      () => this.loadAll(this.#index.forDevice(modalias)),
    );
  }

  #loadForAll(): void {
    for (const modalias of new Set(modaliases())) this.#loadFor(modalias);
  }
}

/** Those of all devices that are there, bus by bus. */
function* modaliases(): Generator<string> {
  for (const bus of names("/sys/bus")) {
    const folder = `/sys/bus/${bus}/devices`;
    for (const device of names(folder)) yield read(`${folder}/${device}/modalias`) ?? "";
  }
  // The machine as a whole: some drivers are for one maker's alone.
  yield read("/sys/class/dmi/id/modalias") ?? "";
}

/** Which of the two KVM modules serves this processor; null for one without virtualization. */
export function kvmModule(cpuinfo: string): "kvm_intel" | "kvm_amd" | null {
  const flags = new Set(cpuinfo.match(/^flags\s*:(.*)$/m)?.[1].trim().split(/\s+/) ?? []);
  return flags.has("vmx") ? "kvm_intel" : flags.has("svm") ? "kvm_amd" : null;
}

/** The names of the links that are wired Ethernet cards. */
export function wiredCards(): string[] {
  return names("/sys/class/net").filter((name) => {
    const folder = `/sys/class/net/${name}`;
    const entries = names(folder);
    return read(`${folder}/type`) === "1" && entries.includes("device") &&
      !entries.includes("wireless") && !entries.includes("phy80211");
  });
}
