import { assertEquals, assertMatch } from "@std/assert";
import { run } from "../../scripts/setup/command.ts";
import { countedLine, DISKS_MIB, UNCOUNTED } from "./work.ts";

const SECTORS = DISKS_MIB[1] * 2048;
const SECTOR_BYTES = 512;

const sector = (number: number) =>
  new TextEncoder().encode(String(number).padEnd(SECTOR_BYTES - 1) + "\n");

/** What a look at the counter says that stands at `count`, with all on its disk but what `changes` changed. */
async function looked(
  count: number,
  changes: Record<number, number> = {},
): Promise<{ wrong: string[]; number: string }> {
  const folder = await Deno.makeTempDir({ prefix: "counted-" });
  try {
    const [memory, disk, copy] = ["memory", "disk", "copy"].map((it) => `${folder}/${it}`);
    const bytes = new Uint8Array(SECTORS * SECTOR_BYTES);
    for (let k = 0; k < SECTORS; k++) bytes.set(sector(0), k * SECTOR_BYTES);
    for (let number = Math.max(1, count - SECTORS + 1); number <= count; number++) {
      bytes.set(sector(number), number % SECTORS * SECTOR_BYTES);
    }
    for (const [k, number] of Object.entries(changes)) {
      bytes.set(sector(number), Number(k) * SECTOR_BYTES);
    }
    await Deno.writeFile(disk, bytes);
    await Deno.writeTextFile(memory, `${count}\n`);
    const { stdout } = await run(["sh", "-c", countedLine({ memory, disk, copy })]);
    const lines = stdout.trimEnd().split("\n");
    return { number: lines.pop()!, wrong: lines };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a counter's disk is right from the first number on, and when it has gone round", async () => {
  for (const count of [1, 100, SECTORS - 1, SECTORS, SECTORS + 1, 5 * SECTORS + 77]) {
    assertEquals(await looked(count), { wrong: [], number: String(count) });
  }
  // The last number may not be there yet.
  assertEquals((await looked(5000, { [5000 % SECTORS]: 5000 - SECTORS })).wrong, []);
});

Deno.test("a write that is lost, that came twice or that came to the wrong place is found", async () => {
  const count = 5000;
  const places = {
    lost: { [4999 % SECTORS]: 4999 - SECTORS },
    "lost long ago": { [3500 % SECTORS]: 3500 - SECTORS },
    "never written": { 0: 0 },
    "in another's place": { [4000 % SECTORS]: 4001 },
    "not counted yet": { [5001 % SECTORS]: 5001 },
  };
  for (const [what, change] of Object.entries(places)) {
    const { wrong } = await looked(count, change);
    assertEquals(wrong.length, 1, what);
    assertMatch(wrong[0], /^sector \d+ has \d+ and not \d+$/, what);
  }
});

Deno.test("the disk begins with a number in each sector", async () => {
  const { stdout } = await run(["sh", "-c", UNCOUNTED]);
  assertEquals(stdout, (`0`.padEnd(SECTOR_BYTES - 1) + "\n").repeat(SECTORS));
});
