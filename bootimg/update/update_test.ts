import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { largestRead } from "../../hypervisor/sys/testing/largest_read.ts";
import {
  compareVersions,
  formatSigned,
  isVersion,
  parseSigned,
  statementOf,
  type SystemFacts,
} from "./statement.ts";
import { type Update, verifySignature, verifyUpdate } from "./verify.ts";

interface Signer {
  key: string;
  sign(facts: SystemFacts): Promise<string>;
}

async function signer(): Promise<Signer> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  return {
    key: `-----BEGIN PUBLIC KEY-----\n${spki.toBase64()}\n-----END PUBLIC KEY-----\n`,
    async sign(facts) {
      const signature = await crypto.subtle.sign("Ed25519", pair.privateKey, statementOf(facts));
      return formatSigned({ ...facts, signature: new Uint8Array(signature) });
    },
  };
}

const owner = await signer();
const stranger = await signer();
const SYSTEM = new TextEncoder().encode("a system that is not long");

async function factsOf(bytes: Uint8Array<ArrayBuffer>, version: string): Promise<SystemFacts> {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return { version, bytes: bytes.length, sha256: new Uint8Array(digest).toHex() };
}

const FACTS = await factsOf(SYSTEM, "1.2.0");

/** Verifies an update of what lies in the files, where null is no file. */
async function verify(
  parts: Partial<Update> & { bytes?: Uint8Array; text?: string | null },
): Promise<SystemFacts> {
  const folder = await Deno.makeTempDir();
  const { bytes = SYSTEM, text = await owner.sign(FACTS), ...rest } = parts;
  try {
    const update = {
      efi: `${folder}/efi`,
      signature: `${folder}/efi.sig`,
      key: owner.key,
      running: "1.1.9",
    };
    await Deno.writeFile(update.efi, bytes);
    if (text !== null) await Deno.writeTextFile(update.signature, text);
    return await verifyUpdate({ ...update, ...rest });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a newer system with the owner's signature is taken, and one of the same version", async () => {
  assertEquals(await verify({}), FACTS);
  assertEquals(await verify({ running: "1.2.0" }), FACTS);
});

Deno.test("a system without a signature is refused", async () => {
  await assertRejects(() => verify({ text: null }), Error, "it is not signed");
  await assertRejects(() => verify({ text: "" }), SyntaxError, "not JSON");
});

Deno.test("a system that somebody else signed is refused", async () => {
  const text = await stranger.sign(FACTS);
  await assertRejects(() => verify({ text }), Error, "not signed with this host's update key");
});

Deno.test("a system that was truncated, grew or changed is refused", async () => {
  const truncated = SYSTEM.subarray(0, -1);
  await assertRejects(() => verify({ bytes: truncated }), Error, "is truncated: 24 of 25 bytes");
  const longer = new Uint8Array([...SYSTEM, 0]);
  await assertRejects(() => verify({ bytes: longer }), Error, "26 bytes, 25 were signed");
  const other = SYSTEM.slice();
  other[3] ^= 1;
  await assertRejects(() => verify({ bytes: other }), Error, "not the file that was signed");
});

Deno.test("a large system is verified piece by piece", async () => {
  const bytes = new Uint8Array(3 * 1024 * 1024 + 5).fill(7);
  const facts = await factsOf(bytes, "1.2.0");
  const text = await owner.sign(facts);
  const largest = await largestRead(async () => assertEquals(await verify({ bytes, text }), facts));
  assert(largest <= 1024 * 1024, `${largest} bytes at once`);
  // Also its last byte counts.
  bytes[bytes.length - 1] ^= 1;
  await assertRejects(() => verify({ bytes, text }), Error, "not the file that was signed");
});

Deno.test("a system that is older than the running one is refused, whoever signed it", async () => {
  await assertRejects(() => verify({ running: "1.2.1" }), Error, "older than 1.2.1");
  const text = await owner.sign({ ...FACTS, version: "1.3.0-rc.1" });
  await assertRejects(() => verify({ text, running: "1.3.0" }), Error, "older than 1.3.0");
});

Deno.test("nothing that was signed can be changed", async () => {
  const text = await owner.sign(FACTS);
  const signed = parseSigned(text);
  const signature = signed.signature.slice();
  signature[0] ^= 1;
  for (
    const changed of [
      { ...signed, version: "1.2.1" },
      { ...signed, bytes: 26 },
      { ...signed, sha256: "0".repeat(64) },
      { ...signed, signature },
    ]
  ) {
    await assertRejects(
      () => verifySignature(formatSigned(changed), owner.key),
      Error,
      "not signed",
    );
  }
});

Deno.test("a key that is none is an error, not a pass", async () => {
  await assertRejects(() => verify({ key: "x" }), SyntaxError, "no public Ed25519 key");
  await assertRejects(() => verify({ key: "" }), Error, "built without an update key");
  await assertRejects(() => verify({ key: owner.key.replace("MCow", "MCox") }), SyntaxError);
});

Deno.test("any text is a signature's file or an error which says why", () => {
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
    assertThrows(() => parseSigned(text), SyntaxError, "Cannot read the signature");
  }));
  assertThrows(() => parseSigned(" ".repeat(5000)), SyntaxError, "more than 4096");
});

const versions = fc.tuple(
  fc.nat(20),
  fc.nat(20),
  fc.nat(20),
  fc.option(fc.array(fc.oneof(fc.nat(20).map(String), fc.stringMatching(/^[a-z0-9]{1,3}$/)), {
    minLength: 1,
    maxLength: 3,
  })),
).map(([a, b, c, before]) => `${a}.${b}.${c}${before ? `-${before.join(".")}` : ""}`);

Deno.test("versions are ordered, each against each", () => {
  const rising = [
    "0.9.9",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-a",
    "1.0.0-rc",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.10",
  ];
  rising.forEach((a, i) =>
    rising.forEach((b, j) => assertEquals(Math.sign(compareVersions(a, b)), Math.sign(i - j)))
  );
  fc.assert(fc.property(versions, versions, versions, (a, b, c) => {
    assert(isVersion(a));
    assertEquals(Math.sign(compareVersions(a, b)), -Math.sign(compareVersions(b, a)));
    if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) {
      assert(compareVersions(a, c) <= 0);
    }
  }));
  assertThrows(() => compareVersions("1.0", "1.0.0"), SyntaxError, '"1.0" is none');
});
