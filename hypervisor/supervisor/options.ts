/**
 * The supervisor's command line.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { resolve } from "@std/path";
import { StoreName } from "./api/names.ts";
import { type Address, parseListenAddress } from "./peers/address.ts";
import type { StoreOption } from "./shared/stores.ts";

export interface Options {
  data: string;
  run: string;
  vmm: string;
  bridge: string | null;
  import: string | null;
  consoleUid: number | null;
  pool: number;
  peers: Address | null;
  hostSocket: string | null;
  pstore: string | null;
  passwordFile: string | null;
  stores: StoreOption[];
}

export const USAGE =
  `Usage: supervisor --data DIR --run DIR --vmm FILE [--bridge NAME] [--import DIR] [--console-uid N]
                  [--pool N] [--peers [ADDRESS:]PORT] [--host-socket PATH] [--password-file FILE]
                  [--pstore DIR]
                  [--shared-store NAME=DIR]...

  --data DIR        what is kept: the database, images and guests' disks
  --run DIR         what is gone after a power cut: sockets, running guests
  --vmm FILE        the VMM's program, run with Deno
  --bridge NAME     the bridge that guests' NICs are put into; br0 by default, where there is one
  --import DIR      folders with a guest.json, imported where no guest has its name
  --console-uid N   the user whom the console's socket is given to; by default the owner of RUN/console
  --pool N          how many VMMs are started before there are guests for them, about 30 MiB each; 1
  --peers PORT      where other hosts may pair with this one, and guests come from them, such as 8444 or
                    [fd00::1]:8444; without it, this host keeps to itself
  --host-socket PATH    where process 1 of the appliance answers: the host's network, log and settings
  --pstore DIR          where the kernel shows what it kept of a crash over the restart
  --shared-store NAME=DIR   where storage is mounted that other hosts see too, such as an NFS export: disks
                    that are made there stay where they are when their guests move
  --password-file FILE  a hash that becomes the administrator's password, once, if the file is there
`;

/** The value of an option that needs one. */
function path(value: unknown, name: string): string {
  if (typeof value !== "string" || value === "") {
    throw new TypeError(`Cannot start the supervisor: --${name} is missing`);
  }
  return resolve(value);
}

export function parseOptions(args: string[]): Options {
  const parsed = parseArgs(args, {
    string: [
      ...["data", "run", "vmm", "bridge", "import", "console-uid", "pool", "peers"],
      ...["host-socket", "password-file", "pstore", "shared-store"],
    ],
    collect: ["shared-store"],
    unknown(arg) {
      throw new TypeError(`Cannot start the supervisor: it has no option "${arg}"`);
    },
  });
  const uid = parsed["console-uid"];
  if (uid !== undefined && !/^[0-9]{1,9}$/.test(uid)) {
    throw new TypeError(`Cannot start the supervisor: --console-uid "${uid}" is not a number`);
  }
  const pool = parsed.pool ?? "1";
  if (!/^[0-9]{1,2}$/.test(pool)) {
    throw new TypeError(`Cannot start the supervisor: --pool "${pool}" is not a number up to 99`);
  }
  return {
    pool: Number(pool),
    peers: parsed.peers ? parseListenAddress(parsed.peers) : null,
    data: path(parsed.data, "data"),
    run: path(parsed.run, "run"),
    vmm: path(parsed.vmm, "vmm"),
    bridge: parsed.bridge || null,
    import: parsed.import ? resolve(parsed.import) : null,
    hostSocket: parsed["host-socket"] ? resolve(parsed["host-socket"]) : null,
    pstore: parsed.pstore ? resolve(parsed.pstore) : null,
    passwordFile: parsed["password-file"] ? resolve(parsed["password-file"]) : null,
    consoleUid: uid === undefined ? null : Number(uid),
    stores: parseStores(parsed["shared-store"]),
  };
}

function parseStores(values: readonly string[]): StoreOption[] {
  const stores = values.map((value): StoreOption => {
    const [, name = "", directory = ""] = /^([^=]*)=(.+)$/.exec(value) ?? [];
    if (StoreName.safeParse(name).success && directory !== "") {
      return { name, directory: resolve(directory) };
    }
    throw new TypeError(
      `Cannot start the supervisor: --shared-store "${value}" is not NAME=DIR with a name of a-z, ` +
        "0-9 and '-'",
    );
  });
  for (const key of ["name", "directory"] as const) {
    const twice = stores.find((it, i) =>
      stores.slice(0, i).some((other) => other[key] === it[key])
    );
    if (twice === undefined) continue;
    throw new TypeError(
      `Cannot start the supervisor: --shared-store has the ${key} "${twice[key]}" twice`,
    );
  }
  return stores;
}
