import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { lookFor, Probe, removeOldProbes } from "./probe.ts";

function withDirectory(use: (path: string) => void | Promise<void>) {
  return async () => {
    const path = Deno.makeTempDirSync();
    try {
      await use(path);
    } finally {
      Deno.removeSync(path, { recursive: true });
    }
  };
}

Deno.test(
  "who sees the same directory finds what was written there, and locked",
  withDirectory((path) => {
    {
      using probe = new Probe(path);
      assertEquals(lookFor(probe, path), "shared");
      assertEquals(
        lookFor({ ...probe, probe: "0".repeat(32), nonce: probe.nonce }, path),
        "unseen",
      );
      assertEquals(lookFor({ probe: probe.probe, nonce: "0".repeat(64) }, path), "unseen");
    }
    assertEquals([...Deno.readDirSync(path)], []);
  }),
);

Deno.test(
  "a copy of a directory is not the directory",
  withDirectory((path) => {
    using probe = new Probe(path);
    const copy = Deno.makeTempDirSync();
    assertEquals(lookFor(probe, copy), "unseen");
    // It was made in between, and nobody has locked it there.
    for (const { name } of Deno.readDirSync(path)) {
      Deno.copyFileSync(join(path, name), join(copy, name));
    }
    assertEquals(lookFor(probe, copy), "unlocked");
    Deno.removeSync(copy, { recursive: true });
  }),
);

Deno.test(
  "what somebody else wrote there is not followed elsewhere",
  withDirectory((path) => {
    using probe = new Probe(path);
    const other = "a".repeat(32);
    Deno.symlinkSync(
      join(path, `.denovisor-probe-${probe.probe}`),
      join(path, `.denovisor-probe-${other}`),
    );
    assertEquals(lookFor({ probe: other, nonce: probe.nonce }, path), "unseen");
  }),
);

Deno.test(
  "what a power cut left goes after a day, and nothing else",
  withDirectory(async (path) => {
    using _probe = new Probe(path);
    const names = () => [...Deno.readDirSync(path)].map(({ name }) => name.slice(0, 22)).sort();
    Deno.writeTextFileSync(join(path, `.denovisor-probe-${"b".repeat(32)}`), "");
    Deno.writeTextFileSync(join(path, "mine"), "");
    const before = new Date(Date.now() - 2 * 24 * 3600 * 1000);
    for (const name of ["mine", `.denovisor-probe-${"b".repeat(32)}`]) {
      Deno.utimeSync(join(path, name), before, before);
    }
    assertEquals(names().length, 3);
    await removeOldProbes(path);
    assertEquals(names().length, 2);
    assertEquals(names()[1], "mine");
  }),
);
