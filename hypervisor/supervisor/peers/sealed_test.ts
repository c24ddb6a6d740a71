import { assertEquals, assertRejects } from "@std/assert";
import { tryLock } from "../../sys/flock.ts";
import { close, O_RDWR, open } from "../../sys/files.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import { isRunning, type Sealed } from "./sealed.ts";

/** A guest whose VMM was just killed, which nobody has noticed yet. */
function sealedOn(folder: string, disks: { id: string; store: string | null }[]) {
  const process = {
    ...{ pid: 4_000_000, hasEnded: false, controlSocket: `${folder}/nobody.sock` },
    run: { find: (id: string) => id },
  };
  const record = { id: "guest", name: "web", disks };
  const ground = { disks: { path: (_: string, { id }: { id: string }) => `${folder}/${id}` } };
  return [{ process, record } as unknown as Sealed, ground as unknown as MoveGround] as const;
}

Deno.test("a VMM that answers nobody has the guest where it has locked a disk of this host", async () => {
  const folder = await Deno.makeTempDir();
  for (const id of ["own", "shared"]) await Deno.writeTextFile(`${folder}/${id}`, "");
  const [own, shared] = ["own", "shared"].map((id) => open(`${folder}/${id}`, O_RDWR));
  try {
    const disks = [{ id: "own", store: null }, { id: "shared", store: "nas" }];
    const both = sealedOn(folder, disks);
    assertEquals(await isRunning(...both), false);
    // The other host's VMM has that one, as long as the guest runs there.
    tryLock(shared);
    assertEquals(await isRunning(...both), false);
    await assertRejects(() => isRunning(...sealedOn(folder, disks.slice(1))), Error, "no disk");
    tryLock(own);
    assertEquals(await isRunning(...both), true);
  } finally {
    for (const fd of [own, shared]) close(fd);
    await Deno.remove(folder, { recursive: true });
  }
});
