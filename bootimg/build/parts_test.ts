import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { parseOptions } from "../image.ts";
import { parseSigned } from "../update/statement.ts";
import { verifySignature } from "../update/verify.ts";
import { placeCore, placeMbr } from "./boot_loader.ts";
import { firmwareTable } from "./firmware_root.ts";
import { packagesOf, sbom } from "./sbom.ts";
import { certificateBytes } from "./secure_boot.ts";
import { checkSize, MOST_BYTES, sizeTable } from "./size.ts";
import { NO_KEY, readKey, signSystem } from "./update_key.ts";
import { spdxProblems } from "../testing/spdx.ts";

const PARTS = { image: 60, loader: 1, system: 55, kernel: 12, base: 42, firmware: 0, app: 1 };

Deno.test("an image above the limit fails the build, with the size of each part", () => {
  checkSize({ ...PARTS, image: MOST_BYTES });
  const error = assertThrows(() => checkSize({ ...PARTS, image: MOST_BYTES + 1 }), RangeError);
  assert(error.message.includes("96.0 MiB at most") && error.message.includes("kernel"));
  assert(!sizeTable(PARTS).includes("firmware"));
  assert(sizeTable({ ...PARTS, image: 65 * 1024 * 1024 }).includes("above the 64.0 MiB"));
});

Deno.test("the boot loader's parts for a BIOS are told where the core begins", () => {
  const mbr = placeMbr(new Uint8Array(512).fill(1), 34);
  assertEquals(mbr.length, 440);
  assertEquals(new DataView(mbr.buffer).getBigUint64(0x5c, true), 34n);
  const core = placeCore(new Uint8Array(1300).fill(1), 34);
  assertEquals(core.length, 3 * 512);
  const view = new DataView(core.buffer);
  assertEquals([view.getBigUint64(500, true), view.getUint16(508, true)], [35n, 2]);
  assertThrows(() => placeMbr(new Uint8Array(511), 34), RangeError, "511 bytes");
});

Deno.test("what the build signs is what hosts accept, and the same each time", async () => {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign"]) as CryptoKeyPair;
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const pem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toBase64()}\n-----END PRIVATE KEY-----\n`;
  const key = await readKey(pem, "key");
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "a system");
  const text = await signSystem(path, { version: "1.0.0", key: key.privateKey! });
  assertEquals(await signSystem(path, { version: "1.0.0", key: key.privateKey! }), text);
  assertEquals((await verifySignature(text, key.publicKey)).bytes, 8);
  assertEquals(parseSigned(text).version, "1.0.0");
  assertEquals((await readKey(key.publicKey, "key")).privateKey, null);
  await assertRejects(() => readKey("x", "key"), SyntaxError, "openssl genpkey");
  await assertRejects(
    () => verifySignature(text, NO_KEY.publicKey),
    Error,
    "built without an update key",
  );
  await Deno.remove(path);
});

Deno.test("a certificate in PEM form becomes what firmware reads", () => {
  const pem = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
  assertEquals(certificateBytes(pem, "x"), new Uint8Array([0, 1, 2]));
  assertThrows(() => certificateBytes("x", "my.pem"), SyntaxError, '"my.pem"');
});

Deno.test("the build's options that need each other are refused alone", () => {
  assertEquals(parseOptions([]).secureBoot, undefined);
  assertEquals(parseOptions(["--key", "k", "--cert", "c", "--firmware"]).secureBoot, {
    key: "k",
    cert: "c",
    enroll: undefined,
  });
  assertThrows(() => parseOptions(["--key", "k"]), TypeError, "need each other");
  assertThrows(() => parseOptions(["--enroll", "f"]), TypeError, "needs --key");
  assertThrows(() => parseOptions(["--frimware"]), TypeError, '"--frimware"');
  assertThrows(() => parseOptions(["x"]), TypeError, '"x"');
});

const SBOM = {
  version: "1.0.0",
  system: { name: "denovisor-1.0.0.efi", sha256: "ab".repeat(32) },
  epoch: 1_700_000_000,
  debian: [
    { package: "libc6", version: "2.41-1+b1", sha256: "cd".repeat(32), source: "glibc" },
    { package: "libstdc++6", version: "14.2.0-19", sha256: "ef".repeat(32), source: "gcc-14" },
  ],
  npm: [{ name: "@preact/signals", version: "2.0.0", integrity: "sha512-AAEC" }],
  deno: { version: "2.9.6", sha256: "01".repeat(32) },
};

Deno.test("the bill of materials is an SPDX document, whatever the order of what it lists", () => {
  const text = sbom(SBOM);
  assertEquals(sbom({ ...SBOM, debian: SBOM.debian.toReversed() }), text);
  const document = JSON.parse(text);
  assertEquals(spdxProblems(document), []);
  const names = document.packages.map((it: { name: string }) => it.name);
  assertEquals(names, ["denovisor", "libc6", "libstdc++6", "@preact/signals", "deno"]);
});

Deno.test("a document that lacks what SPDX asks for is not taken for one", () => {
  for (
    const spoil of [
      (it: Record<string, unknown>) => delete it.documentNamespace,
      (it: Record<string, unknown>) => it.dataLicense = "MIT",
      (it: { packages: Record<string, unknown>[] }) => delete it.packages[1].downloadLocation,
      (it: { packages: Record<string, unknown>[] }) => it.packages[1].SPDXID = "SPDXRef-a+b",
      (it: { packages: Record<string, unknown>[] }) => it.packages[1].checksums = [],
      (it: { relationships: { relatedSpdxElement: string }[] }) =>
        it.relationships[1].relatedSpdxElement = "SPDXRef-nothing",
    ]
  ) {
    const document = JSON.parse(sbom(SBOM));
    spoil(document);
    assertEquals(spdxProblems(document).length > 0, true, String(spoil));
  }
});

Deno.test("packages are listed with what they need, and none that nothing needs", () => {
  const info = {
    modules: [{ kind: "esm" }, { kind: "npm", npmPackage: "a@1" }],
    npmPackages: {
      "a@1": { name: "a", version: "1", dependencies: ["b@2"] },
      "b@2": { name: "b", version: "2", dependencies: ["a@1"] },
      "c@3": { name: "c", version: "3", dependencies: [] },
    },
  };
  const lock = { "a@1": { integrity: "sha512-A" }, "b@2": { integrity: "sha512-B" } };
  assertEquals(packagesOf(info, lock).map((it) => it.name), ["a", "b"]);
  assertThrows(() => packagesOf(info, { "a@1": lock["a@1"] }), Error, 'no digest of "b@2"');
});

Deno.test("each file of firmware is listed with who asks for it, and where it is from", () => {
  const of = (...firmware: string[]) => ({ file: "x", depends: [], softdeps: [], firmware });
  const index = { modules: { r8169: of("b.fw", "a.fw"), nvme: of() }, aliases: [] };
  assertEquals(firmwareTable(index, null), "r8169\ta.fw\t-\nr8169\tb.fw\t-\n");
  const contents = { packages: [], files: { "a.fw": "firmware-realtek", "b.fw": null } };
  assertEquals(firmwareTable(index, contents), "r8169\ta.fw\tfirmware-realtek\nr8169\tb.fw\t-\n");
});
