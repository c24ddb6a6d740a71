/**
 * The image as it is built: for which hardware it has drivers, and what it says that it is made of.
 * The same commit gives the same image, bit for bit: built here, and once more from nothing in another
 * folder, later, by a user without rights, in another time zone and with another umask.
 */
import { assert, assertEquals } from "@std/assert";
import { baseRoot } from "../../bootimg/build/base_root.ts";
import { buildImage } from "../../bootimg/build/image.ts";
import { ModuleIndex } from "../../bootimg/modules/module_index.ts";
import { spdxProblems } from "../../bootimg/testing/spdx.ts";
import { removeTree } from "../../scripts/setup/built_once.ts";
import { CACHE, CHECKOUT } from "../../scripts/setup/checkout.ts";
import { run } from "../../scripts/setup/command.ts";

/** What there is of a PCI device's modalias in between is the board's. */
const pci = (vendor: string, device: string, kind = "bc02sc00i00") =>
  `pci:v0000${vendor}d0000${device}sv00001AF4sd00001100${kind}`;

/** A device of each kind that is promised to work, and its driver. */
const HARDWARE: readonly [modalias: string, driver: string][] = [
  [pci("144D", "A808", "bc01sc08i02"), "nvme"],
  [pci("8086", "A182", "bc01sc06i01"), "ahci"],
  [pci("8086", "A12F", "bc0Csc03i30"), "xhci_pci"],
  ["usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00", "usb_storage"],
  ["usb:v0BC2pAB24d0100dc00dsc00dp00ic08isc06ip62in00", "uas"],
  ["virtio:d00000001v00001AF4", "virtio_net"],
  ["virtio:d00000002v00001AF4", "virtio_blk"],
  ["virtio:d00000008v00001AF4", "virtio_scsi"],
  // VMware.
  [pci("15AD", "07B0"), "vmxnet3"],
  [pci("15AD", "07C0", "bc01sc00i00"), "vmw_pvscsi"],
  [pci("15AD", "0740", "bc08sc80i00"), "vmw_vmci"],
  [pci("1000", "0030", "bc01sc00i00"), "mptspi"],
  [pci("1022", "2000"), "pcnet32"],
  // Hyper-V.
  ["vmbus:635161f83edfc546913ff2d2f965ed0e", "hv_netvsc"],
  ["vmbus:d96361baa104294db60572e2ffb1dc7f", "hv_storvsc"],
  ["vmbus:6dad12f9172bea48bd65f927a61c7684", "hyperv_keyboard"],
  ["vmbus:1df6c444444400449d52802e27ede19f", "pci_hyperv"],
  // Intel.
  [pci("8086", "100E"), "e1000"],
  [pci("8086", "10D3"), "e1000e"],
  [pci("8086", "15BC"), "e1000e"],
  [pci("8086", "1533"), "igb"],
  [pci("8086", "15F3"), "igc"],
  [pci("8086", "10FB"), "ixgbe"],
  [pci("8086", "1572"), "i40e"],
  [pci("8086", "1592"), "ice"],
  [pci("8086", "1889"), "iavf"],
  // Realtek.
  [pci("10EC", "8168"), "r8169"],
  [pci("10EC", "8125"), "r8169"],
  [pci("10EC", "8139"), "8139too"],
  ["usb:v0BDAp8156d3104dc00dsc00dp00icFFiscFFip00in00", "r8152"],
  // Broadcom.
  [pci("14E4", "165F"), "tg3"],
  [pci("14E4", "1639"), "bnx2"],
  [pci("14E4", "168E"), "bnx2x"],
  [pci("14E4", "16D7"), "bnxt_en"],
  // Mellanox.
  [pci("15B3", "1003"), "mlx4_core"],
  ["auxiliary:mlx4_core.eth", "mlx4_en"],
  [pci("15B3", "1017"), "mlx5_core"],
];

Deno.test("each kind of hardware that is promised to work has its driver", async () => {
  const { contents } = await baseRoot();
  const index = new ModuleIndex(contents.modules);
  const missing = HARDWARE.filter(([modalias, driver]) =>
    !index.forDevice(modalias).includes(driver.replaceAll("-", "_")) &&
    !contents.builtIn.includes(driver)
  );
  assertEquals(missing, []);
});

const NOBODY = "65534";

Deno.test("two builds in different folders, by different users, give the same bytes", async () => {
  // In the cache, so that downloads can be linked.
  const folder = await Deno.makeTempDir({ dir: CACHE, prefix: ".image-bytes-" });
  try {
    const { image, system, sbom } = await buildImage({ folder: `${folder}/here` });
    const document = JSON.parse(await Deno.readTextFile(sbom));
    assertEquals(spdxProblems(document), []);
    const names = new Set(document.packages.map((it: { name: string }) => it.name));
    for (const name of ["deno", "libc6", "grub-pc-bin", "mdadm", "preact", "zod"]) {
      assert(names.has(name), `"${name}" is not in the bill of materials`);
    }
    const there = await copyOfCheckout(`${folder}/somewhere else`);
    await buildIn(there);
    for (const path of [system, image, sbom]) {
      const name = path.replace(/^.*\//, "");
      const digest = await sha256(path);
      assertEquals(await sha256(`${there}/out/${name}`), digest, name);
      console.log(`${digest}  ${name}`);
    }
  } finally {
    await removeTree(folder);
  }
});

/** A clone with what was changed since the commit, and downloads; nothing that was built. */
async function copyOfCheckout(target: string): Promise<string> {
  await Deno.mkdir(target, { recursive: true });
  await run(["git", "clone", "--quiet", "--depth", "1", `file://${CHECKOUT}`, target]);
  const changed = await filesOf(["--modified", "--others", "--exclude-standard"]);
  const gone = new Set(await filesOf(["--deleted"]));
  for (const path of changed) {
    if (gone.has(path)) await removeTree(`${target}/${path}`);
    else await run(["cp", "--parents", path, target], { cwd: CHECKOUT });
  }
  for (const path of ["node_modules", "scripts/deno/node_modules"]) {
    await run(["cp", "-a", path, `${target}/${path}`], { cwd: CHECKOUT });
  }
  await Deno.mkdir(`${target}/.cache`);
  await run(["cp", "-al", `${CACHE}/debs`, `${target}/.cache/debs`]);
  return target;
}

async function filesOf(which: readonly string[]): Promise<string[]> {
  const { stdout } = await run(["git", "ls-files", "-z", ...which], { cwd: CHECKOUT });
  return stdout.split("\0").filter((path) => path !== "");
}

async function buildIn(folder: string): Promise<void> {
  const isRoot = Deno.uid() === 0;
  if (isRoot) {
    // Folders alone: downloads are the same files as in the cache.
    await run(["find", folder, "-type", "d", "-exec", "chown", `${NOBODY}:${NOBODY}`, "{}", "+"]);
    await run(["chmod", "755", folder.replace(/\/[^/]*$/, "")]);
  }
  const user = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
  const build = "umask 077 && exec deno task image";
  await run([...isRoot ? user : [], "sh", "-c", build], {
    cwd: folder,
    env: {
      PATH: `${folder}/scripts/deno/node_modules/@deno/linux-x64-glibc:/usr/bin:/bin`,
      HOME: `${folder}/.cache/home`,
      DENO_DIR: `${folder}/.cache/deno`,
      TZ: "Asia/Kathmandu",
      LC_ALL: "C",
    },
  });
}

async function sha256(path: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(digest).toHex();
}
