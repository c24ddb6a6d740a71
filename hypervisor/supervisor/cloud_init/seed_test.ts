import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { parse } from "yaml";
import { CLOUD_INIT_MOST } from "../api/limits.ts";
import { readIso, textsIn } from "../testing/iso_reader.ts";
import { Seed, SEED_BYTES, seedImage, seedOf } from "./seed.ts";
import { cloudInitFacts, ofChild } from "./settings.ts";

const BARE: Seed = {
  ...{ instanceId: "i-1", hostname: "web", userData: null, networkConfig: null, sshKeys: [] },
};

/** A key of as many characters as there may be. */
function longestKey(comment: string): string {
  const type = "ssh-rsa";
  const key = btoa(`\0\0\0${String.fromCharCode(type.length)}${type}${"k".repeat(600)}`);
  return `${type} ${key} `.padEnd(CLOUD_INIT_MOST.sshKeyCharacters, comment);
}

Deno.test("a system finds who it is, and what was written for it", () => {
  const userData = "#cloud-config\npackages: [nginx]\n";
  const networkConfig = "version: 2\nethernets: {}\n";
  const sshKeys = [longestKey('"'), longestKey("\\")];
  const texts = textsIn(seedImage({ ...BARE, userData, networkConfig, sshKeys }));
  assertEquals(Object.keys(texts), ["meta-data", "network-config", "user-data"]);
  assertEquals([texts["user-data"], texts["network-config"]], [userData, networkConfig]);
  assertEquals(parse(texts["meta-data"]), {
    "instance-id": "i-1",
    "local-hostname": "web",
    "public-keys": sshKeys,
  });
});

Deno.test("without texts of its own there is still a disk that cloud-init takes", () => {
  const image = seedImage(BARE);
  assertEquals(readIso(image).label, "cidata");
  const texts = textsIn(image);
  assertEquals(Object.keys(texts), ["meta-data", "user-data"]);
  assertEquals(parse(texts["user-data"]), {});
});

Deno.test("any settings that the API lets through go onto a disk of one size, and come back", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 200 })
    .map((it) => it.replace(/[\p{Cc}\p{Cs}]/gu, ""));
  const seed = fc.record({
    instanceId: fc.uuid(),
    hostname: fc.constantFrom("web", "a.example.org", "x".repeat(63)),
    userData: fc.option(text.map((it) => `#cloud-config\n${it}`)),
    networkConfig: fc.option(text),
    sshKeys: fc.array(fc.constantFrom("a", "~", '"', "\\").map(longestKey), { maxLength: 16 }),
  });
  fc.assert(fc.property(seed, (seed) => {
    const image = seedImage(Seed.parse(seed));
    assertEquals(image.length, SEED_BYTES);
    const texts = textsIn(image);
    assertEquals(parse(texts["meta-data"])["public-keys"] ?? [], seed.sshKeys);
    if (seed.userData !== null) assertEquals(texts["user-data"], seed.userData);
    assertEquals(texts["network-config"] ?? null, seed.networkConfig);
  }));
});

Deno.test("every release makes the same bytes of the same settings", async () => {
  // A guest that runs on one release and goes on with another has read some of them.
  const seed = { ...BARE, userData: "#!/bin/sh\n", networkConfig: "version: 2\n", sshKeys: ["k"] };
  const digest = await crypto.subtle.digest("SHA-256", seedImage(seed));
  assertEquals(
    new Uint8Array(digest).toHex(),
    "cf979e7f2a797ef9eb79013de0f7009255aaaff324f016f8101f6369ab958534",
  );
});

Deno.test("the most of everything has room", () => {
  const { userDataBytes, networkConfigBytes, sshKeys } = CLOUD_INIT_MOST;
  const most = Seed.parse({
    instanceId: "i".repeat(64),
    hostname: Array(4).fill("h".repeat(62)).join("."),
    userData: "#cloud-config\n".padEnd(userDataBytes, "u"),
    networkConfig: "n".repeat(networkConfigBytes),
    sshKeys: Array(sshKeys).fill(longestKey("\\")),
  });
  assertEquals(textsIn(seedImage(most))["user-data"].length, userDataBytes);
});

Deno.test("a guest is called by its name, unless it is to be called otherwise", () => {
  const { hostname: _, ...rest } = BARE;
  const called = (hostname: string | null) => {
    const cloudInit = { ...rest, hostname };
    return [seedOf({ name: "web-1", cloudInit }), cloudInitFacts({ name: "web-1", cloudInit })]
      .map((it) => it!.hostname);
  };
  assertEquals([called(null), called("db")], [["web-1", "web-1"], ["db", "db"]]);
  assertEquals(seedOf({ name: "web", cloudInit: null }), null);
});

Deno.test("a child is an instance of its own, and its disk as large as its parent's", () => {
  const kept = { ...BARE, hostname: "db" };
  const child = ofChild({ kept, ran: { ...kept, userData: "#!/bin/sh" } });
  assert(child.kept!.instanceId !== kept.instanceId);
  assertEquals(child.ran!.instanceId, child.kept!.instanceId);
  assertEquals([child.kept!.hostname, child.ran!.userData], [null, "#!/bin/sh"]);
  assertEquals(ofChild({ kept: null, ran: null }), { kept: null, ran: null });
  assertEquals(ofChild({ kept, ran: null }).ran, null);
});
