/**
 * Builds the appliance's image from pinned packages and the checkout.
 *
 * @module
 */
import { removeTree } from "../../scripts/setup/built_once.ts";
import { CACHE, CHECKOUT, OUT, progress } from "../../scripts/setup/checkout.ts";
import { run } from "../../scripts/setup/command.ts";
import { hostPackages } from "../../scripts/setup/host_packages.ts";
import config from "../../deno.json" with { type: "json" };
import { type AppRecipe, appTree, buildConsole } from "./app_root.ts";
import { baseRoot } from "./base_root.ts";
import { makeBootFile } from "./boot_file.ts";
import { pack } from "./compress.ts";
import { makeDiskImage } from "./disk_image.ts";

/** What an image holds, in bytes. */
export interface ImageParts {
  image: number;
  bootFile: number;
  kernel: number;
  base: number;
  app: number;
}

export interface ImageResult {
  path: string;
  version: string;
  parts: ImageParts;
}

/** What may differ from the image that is shipped: tests add a process of their own. */
export interface ImageOptions extends Omit<AppRecipe, "version" | "console"> {
  /** Where to write it; `out/denovisor-VERSION.img` by default. */
  path?: string;
}

/** Builds the image. */
export async function buildImage(options: ImageOptions = {}): Promise<ImageResult> {
  await hostPackages(["zstd", "xz-utils"]);
  const version = config.version;
  const { path = `${OUT}/denovisor-${version}.img`, ...recipe } = options;
  await Deno.mkdir(OUT, { recursive: true });
  const base = await baseRoot();
  progress("bundling the appliance's sources");
  const work = await Deno.makeTempDir({ dir: CACHE, prefix: ".image-" });
  try {
    const app = `${work}/app.cpio.zst`;
    const consoleFolder = `${work}/console`;
    await buildConsole(consoleFolder);
    await pack(await appTree({ version, console: consoleFolder, ...recipe }), {
      path: app,
      level: 19,
    });
    const bootFile = `${work}/BOOTX64.EFI`;
    progress("assembling the appliance's image");
    await makeBootFile(bootFile, {
      kernel: base.kernel,
      release: base.release,
      version,
      archives: [base.archive, app],
    });
    const unfinished = `${work}/image`;
    await makeDiskImage(unfinished, { bootFile, epoch: await sourceEpoch() });
    const size = async (file: string) => (await Deno.stat(file)).size;
    const parts = {
      image: await size(unfinished),
      bootFile: await size(bootFile),
      kernel: await size(base.kernel),
      base: await size(base.archive),
      app: await size(app),
    };
    await Deno.rename(unfinished, path);
    return { path, version, parts };
  } finally {
    await removeTree(work);
  }
}

/** The time that the image's files bear: the last commit's, in seconds. */
async function sourceEpoch(): Promise<number> {
  const given = Deno.env.get("SOURCE_DATE_EPOCH");
  if (given !== undefined && /^\d+$/.test(given)) return Number(given);
  try {
    const { stdout } = await run(["git", "log", "-1", "--format=%ct"], { cwd: CHECKOUT });
    return Number(stdout.trim());
  } catch {
    // A checkout without its history: any fixed time will do (2025-01-01).
    return 1_735_689_600;
  }
}
