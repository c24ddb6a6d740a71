import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import type { MoveGround } from "../lives/move_ground.ts";
import { Probe } from "../shared/probe.ts";
import { sharedFiles } from "../testing/shared_files.ts";
import { Request, StoreProof } from "./messages.ts";
import { sightsOf, storesOf } from "./shared_stores.ts";

/** A host with one store. */
async function withStore(
  use: (ground: MoveGround, store: { directory: string; token: string }) => Promise<void>,
): Promise<void> {
  const directory = Deno.makeTempDirSync();
  const shared = sharedFiles([{ name: "nas", directory }]);
  try {
    await shared.look();
    const ground = { disks: { shared } } as unknown as MoveGround;
    await use(ground, { directory, token: shared.token("nas") });
  } finally {
    shared.close();
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("what a host shows of its storage is looked for where the same storage is, and nowhere else", () =>
  withStore(async (ground, { directory, token }) => {
    using one = new Probe(directory);
    const proof = { token, probe: one.probe, nonce: one.nonce };
    const other = { ...proof, token: "f".repeat(32) };
    assertEquals(await sightsOf([proof, other], ground), ["shared", "unseen"]);
    assertEquals(await storesOf({ stores: [proof] }, ground), new Map([[token, "nas"]]));
    assertEquals(await storesOf({}, ground), new Map());
    await assertRejects(() => storesOf({ stores: [proof, other] }, ground), Error, "not seen here");
    one[Symbol.dispose]();
    await assertRejects(() => storesOf({ stores: [proof] }, ground), Error, "not seen here");
  }));

Deno.test("whatever a host shows, it is looked for by a name that it cannot choose freely", () =>
  withStore(async (ground, { token }) => {
    const hex = (length: number) =>
      fc.array(fc.constantFrom(..."0123456789abcdef"), { minLength: length, maxLength: length })
        .map((digits) => digits.join(""));
    const proofs = fc.record({ token: fc.constant(token), probe: hex(32), nonce: hex(64) });
    await fc.assert(
      fc.asyncProperty(proofs, async (proof) => {
        assertEquals(StoreProof.parse(proof), proof);
        assertEquals(await sightsOf([proof], ground), ["unseen"]);
      }),
      { numRuns: 20 },
    );
    for (const probe of ["../x", "", "a".repeat(33), "A".repeat(32), `${"a".repeat(31)}/`]) {
      assertEquals(StoreProof.safeParse({ token, probe, nonce: "0".repeat(64) }).success, false);
    }
    fc.assert(fc.property(fc.jsonValue(), (stores) => {
      Request.safeParse({ op: "stores", stores });
    }));
  }));
