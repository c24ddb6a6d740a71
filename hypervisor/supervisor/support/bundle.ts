/**
 * All that somebody from afar needs to find out what is wrong with a host, in one archive, and no
 * secrets. What goes in is named one by one: a field that is new is left out until it is named here.
 *
 * @module
 */
import { readKernelLog } from "../../sys/kernel_log.ts";
import type { LogRecord } from "../api/log_schemas.ts";
import type { Guest, Host } from "../api/schemas.ts";
import type { Crashes } from "../crashes/crashes.ts";
import { VERSION } from "../version.ts";
import { hardwareFiles } from "./hardware.ts";
import { isSecretName, Scrubber } from "./scrub.ts";
import { tar, type TarFile } from "./tar.ts";

export interface BundleSources {
  host: () => Promise<Host>;
  guests: () => readonly Guest[];
  /** The last that the VMM of a guest printed; null where none runs. */
  vmmOutput: (id: string) => string | null;
  crashes: Crashes;
  /** All of the host's log, from the oldest on. */
  log: () => AsyncIterable<readonly LogRecord[]>;
  /** What process 1 tells, without secrets, by the name that its file gets. */
  processOne: Readonly<Record<string, () => Promise<unknown>>>;
  /** Secrets that are known, to be looked for everywhere. */
  secrets: () => readonly string[];
}

/** The archive, packed with gzip, as it is made. */
export function supportBundle(
  sources: BundleSources,
  time: Date = new Date(),
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from(tar(bundleFiles(sources, time), { time }))
    .pipeThrough(new CompressionStream("gzip"));
}

/** What the archive is called. */
export function bundleName(host: string, time: Date): string {
  const day = time.toISOString().slice(0, 16).replace(/[-:]/g, "").replace("T", "-");
  return `denovisor-support-${host.replace(/[^a-z0-9-]+/gi, "_").slice(0, 40)}-${day}.tar.gz`;
}

const ABOUT = `What this is: the log, the hardware and the state of a Denovisor host.

Left out on purpose: passwords and their hashes, keys, certificates, sessions and codes, guests'
disks, memory, consoles and command lines, and what guests are set up with. Texts that look like
secrets are replaced by "[left out]", also where programs wrote them into a log. Names and addresses
of guests and networks are in it: look it through before you give it away.
`;

/** The files of the archive. */
export async function* bundleFiles(sources: BundleSources, time: Date): AsyncGenerator<TarFile> {
  const guests = sources.guests();
  const scrubber = new Scrubber([
    ...sources.secrets(),
    ...guests.flatMap(({ cmdline }) => secretsOfCommandLine(cmdline)),
  ]);
  const file = (name: string, text: string): TarFile => ({
    name: `support/${name}`,
    bytes: new TextEncoder().encode(text),
  });
  const json = (name: string, value: unknown) =>
    file(name, JSON.stringify(scrubber.value(value), null, 2) + "\n");
  // One part that cannot be had must not keep the others from who needs them.
  const orWhy = async (name: string, make: () => Promise<TarFile> | TarFile) => {
    try {
      return await make();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return file(`${name}.missing`, scrubber.text(`${why}\n`));
    }
  };
  yield file("README.txt", ABOUT);
  yield json("versions.json", { denovisor: VERSION, ...Deno.version, made: time.toISOString() });
  yield await orWhy("host.json", async () => json("host.json", await sources.host()));
  for (const [name, ask] of Object.entries(sources.processOne)) {
    yield await orWhy(name, async () => json(name, await ask()));
  }
  yield json("guests.json", guests.map(guestFacts));
  yield await orWhy("log.jsonl", async () => {
    let text = "";
    for await (const records of sources.log()) {
      for (const it of records) text += JSON.stringify(scrubber.value(it)) + "\n";
    }
    return file("log.jsonl", text);
  });
  yield await orWhy("kernel.txt", () => file("kernel.txt", scrubber.text(readKernelLog())));
  for (const [name, text] of hardwareFiles()) {
    yield file(`hardware/${name}.txt`, scrubber.text(text));
  }
  for (const { id, kind } of sources.crashes.list()) {
    yield await orWhy(
      `crashes/${id}.json`,
      () => json(`crashes/${kind}-${id}.json`, sources.crashes.get(id)),
    );
  }
  for (const { id, name } of guests) {
    const output = sources.vmmOutput(id);
    if (output) yield file(`vmm/${name}.txt`, scrubber.text(output));
  }
}

/** What of a guest tells how it is and what it is made of, and nothing of what is in it. */
function guestFacts(guest: Guest) {
  const { id, name, state, error, pausedFor, cpus, memoryMiB, cpu, memory } = guest;
  const {
    hotplugPorts,
    agent,
    autostart,
    atShutdown,
    savedAt,
    vmmVersion,
    pending,
    createdAt,
    startedAt,
  } = guest;
  return {
    ...{ id, name, state, error, pausedFor, cpus, memoryMiB, cpu, memory },
    ...{
      hotplugPorts,
      agent,
      autostart,
      atShutdown,
      savedAt,
      vmmVersion,
      pending,
      createdAt,
      startedAt,
    },
    disks: guest.disks.map(({ id, name, sizeMiB, cache, attached }) => ({
      ...{ id, name, sizeMiB, cache, attached },
    })),
    nets: guest.nets.map(({ id, mac, bridge, linkUp, attached }) => ({
      ...{ id, mac, bridge, linkUp, attached },
    })),
  };
}

/** A command line as a whole, and its values that are not everybody's: a VMM may have printed them. */
function secretsOfCommandLine(cmdline: string): string[] {
  const values = cmdline.split(/\s+/).flatMap((word) => {
    const [, name, value] = /^([^=]*)=(.*)$/.exec(word) ?? [];
    return value !== undefined && (value.length >= 12 || isSecretName(name)) ? [value] : [];
  });
  return [cmdline, ...values];
}

/** An answer for who downloads it. */
export function bundleResponse(sources: BundleSources, host: string): Response {
  const time = new Date();
  return new Response(supportBundle(sources, time), {
    headers: {
      "content-type": "application/gzip",
      "content-disposition": `attachment; filename="${bundleName(host, time)}"`,
    },
  });
}
