/**
 * Guests that come with the host: folders with a `guest.json` and the files that it names.
 *
 * @module
 */
import { join } from "@std/path";
import type * as z from "zod";
import { CLOUD_INIT_MOST, GuestCreate, type ImageKind, SeedGuest } from "./api/schemas.ts";
import { parseBody } from "./http/body.ts";
import { fileStream } from "./images/file_stream.ts";
import { messageOf } from "./log.ts";
import type { Supervisor } from "./supervisor.ts";

/** Imports every folder below `directory`; what is wrong with one is logged and stops no other. */
export async function importSeeds(supervisor: Supervisor, directory: string): Promise<void> {
  let names: string[];
  try {
    names = [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
  } catch (error) {
    supervisor.log("warn", "cannot import guests", { directory, error: messageOf(error) });
    return;
  }
  for (const name of names) {
    try {
      await importSeed(supervisor, join(directory, name));
    } catch (error) {
      supervisor.log("error", "cannot import a guest", { seed: name, error: messageOf(error) });
    }
  }
}

async function importSeed(supervisor: Supervisor, directory: string) {
  const text = await Deno.readTextFile(join(directory, "guest.json"));
  const { files, ...guest } = parseBody(SeedGuest, text);
  if (supervisor.guests.list().some(({ name }) => name === guest.name)) return;
  const kernel = guest.kernel ?? files.kernel;
  await importImage(supervisor, join(directory, files.kernel), { kind: "kernel", name: kernel });
  let initrd = guest.initrd;
  if (files.initrd !== null) {
    initrd ??= files.initrd;
    await importImage(supervisor, join(directory, files.initrd), { kind: "initrd", name: initrd });
  }
  let disks: unknown[] = guest.disks;
  if (files.disk !== null) {
    const [first, ...others] = guest.disks;
    const image = first?.image ?? files.disk;
    disks = [{ ...first, image }, ...others];
    await importImage(supervisor, join(directory, files.disk), { kind: "disk", name: image });
  }
  const cloudInit = await readTexts(directory, { files, cloudInit: guest.cloudInit });
  const body = JSON.stringify({ ...guest, kernel, initrd, disks, cloudInit });
  await supervisor.guests.create(parseBody(GuestCreate, body));
  supervisor.log("info", "imported a guest", { guest: guest.name });
}

/** What cloud-init is to find, of which texts may be files. */
async function readTexts(
  directory: string,
  { files, cloudInit }: Pick<z.output<typeof SeedGuest>, "files" | "cloudInit">,
): Promise<z.output<typeof SeedGuest>["cloudInit"]> {
  const { userData, networkConfig } = files;
  if (userData === null && networkConfig === null) return cloudInit;
  const { userDataBytes, networkConfigBytes } = CLOUD_INIT_MOST;
  const none = { userData: null, networkConfig: null, hostname: null, sshKeys: [] };
  return {
    ...none,
    ...cloudInit,
    ...(userData !== null && { userData: await readText(directory, userData, userDataBytes) }),
    ...(networkConfig !== null && {
      networkConfig: await readText(directory, networkConfig, networkConfigBytes),
    }),
  };
}

async function readText(directory: string, name: string, mostBytes: number): Promise<string> {
  const path = join(directory, name);
  const { size } = await Deno.stat(path);
  if (size <= mostBytes) return await Deno.readTextFile(path);
  throw new RangeError(`Cannot use "${path}": it has ${size} bytes, and may have ${mostBytes}`);
}

async function importImage(
  { images }: Supervisor,
  path: string,
  image: { kind: ImageKind; name: string },
) {
  // An import that a power cut broke off between image and guest is taken up again.
  if (images.get(image.kind, image.name) !== null) return;
  const file = await Deno.open(path);
  const { size } = await file.stat();
  await images.put(image, fileStream(file), { size });
}
