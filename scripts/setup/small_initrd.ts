/**
 * Initial RAM disks of a busybox, the modules that are needed, and one script.
 *
 * @module
 */
import { builtOnce, removeTree } from "./built_once.ts";
import { type KernelFiles, moduleFiles } from "./kernels.ts";
import { inTrixie, trixieRoot } from "./trixie.ts";

/** What is to be in it, beside `/bin/busybox`. */
export interface SmallInitrd {
  /** Short, for the cache's listing. */
  name: string;
  /** What is `/init`. */
  init: string;
  /** Uncompressed in `/modules`; `/modules/order` has their paths in the order to load them. */
  modules?: { kernel: KernelFiles; names: readonly string[] };
  /** Puts more into the tree. */
  add?: { madeFrom: string; to(staging: string, trixie: string): Promise<void> };
}

/** The path of an initial RAM disk, built on the first call. */
export async function smallInitrd({ name, init, modules, add }: SmallInitrd): Promise<string> {
  const trixie = await trixieRoot();
  return await builtOnce({
    name,
    madeFrom: [
      ...[trixie, init, modules?.kernel.modulesRoot, modules?.names.join(" "), add?.madeFrom],
    ].join("\n"),
    step: `building the initial RAM disk ${name}`,
    async build(target) {
      const staging = `${target}.tree`;
      await removeTree(staging);
      for (const folder of ["bin", "dev", "proc", "sys", "modules"]) {
        await Deno.mkdir(`${staging}/${folder}`, { recursive: true });
      }
      await Deno.copyFile(`${trixie}/usr/bin/busybox`, `${staging}/bin/busybox`);
      if (modules !== undefined) await takeModules(modules, `${staging}/modules`);
      await add?.to(staging, trixie);
      await Deno.writeTextFile(`${staging}/init`, init);
      await Deno.chmod(`${staging}/init`, 0o755);
      await inTrixie(
        ["sh", "-c", 'find . | cpio --quiet -o -H newc -R 0:0 > "$0"', target],
        { cwd: staging },
      );
      await removeTree(staging);
    },
  });
}

async function takeModules(
  { kernel, names }: NonNullable<SmallInitrd["modules"]>,
  folder: string,
): Promise<void> {
  const order: string[] = [];
  for (const path of await moduleFiles(kernel, names)) {
    const name = path.replace(/^.*\/|\.xz$/g, "");
    await inTrixie(["sh", "-c", 'xz -dc "$0" > "$1"', path, `${folder}/${name}`]);
    order.push(`/modules/${name}`);
  }
  await Deno.writeTextFile(`${folder}/order`, order.join("\n") + "\n");
}
