import { assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { CloudInitCreate, CloudInitUpdate } from "./cloud_init_schemas.ts";
import { CLOUD_INIT_MOST } from "./limits.ts";

/** As `ssh-keygen -t ed25519` makes one. */
const KEY =
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILr7Zb0hkMc8bzTcMzHyW8x4xXoHkmHmlmFMtmzXPbSS me@home";

/** What is wrong with the fields, by their paths. */
function wrong(body: unknown): Record<string, string> {
  const { error } = CloudInitCreate.safeParse(body);
  const issues = error?.issues ?? [];
  return Object.fromEntries(issues.map(({ path, message }) => [path.join("."), message]));
}

Deno.test("what nobody says is nothing", () => {
  const none = { userData: null, networkConfig: null, hostname: null, sshKeys: [] };
  assertEquals(CloudInitCreate.parse({}), none);
  assertEquals(CloudInitUpdate.parse({}), {});
  assertEquals(Object.keys(wrong({ instanceId: "mine" })), [""]);
});

Deno.test("user data begins as cloud-init knows it", () => {
  const begins = [
    ...["#cloud-config\nruncmd: []\n", "#!/bin/sh\necho hello\n", "\n #include\nhttps://x/\n"],
    ...["## template: jinja\n#cloud-config\n", "Content-Type: multipart/mixed; boundary=x\n"],
  ];
  for (const userData of begins) assertEquals(wrong({ userData }), {}, userData);
  for (const userData of ["", "packages: [nginx]", "\ufeff#cloud-config", "cloud-config"]) {
    assertStringIncludes(wrong({ userData }).userData, "must begin with #cloud-config");
  }
});

Deno.test("texts are bounded by what they take, and have nothing in them that is no text", () => {
  const { userDataBytes, networkConfigBytes } = CLOUD_INIT_MOST;
  const most = "#!".padEnd(userDataBytes, "x");
  assertEquals(wrong({ userData: most, networkConfig: "x".repeat(networkConfigBytes) }), {});
  const long = wrong({ userData: `${most}x`, networkConfig: "ü".repeat(networkConfigBytes - 1) });
  assertEquals(Object.keys(long), ["userData", "networkConfig"]);
  for (const character of ["\0", "\x1b", "\x7f", "\ud800", "\udc00x"]) {
    assertStringIncludes(wrong({ userData: `#!${character}` }).userData, "must be text");
  }
  assertEquals(wrong({ userData: "#! ü 日本 😀\t\r\n" }), {});
});

Deno.test("a host name is one, with its domain or without", () => {
  for (const hostname of ["web", "Web-1.example.org", "9", null]) {
    assertEquals(wrong({ hostname }), {});
  }
  for (const hostname of ["", "-web", "web.", "a..b", "a b", "a_b", "x".repeat(64), "a\n"]) {
    assertEquals(Object.keys(wrong({ hostname })), ["hostname"], hostname);
  }
});

Deno.test("public keys are what they say they are", () => {
  const [type, encoded] = KEY.split(" ");
  assertEquals(wrong({ sshKeys: [KEY, `${type} ${encoded}`] }), {});
  const broken = [
    "",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    `ssh-rsa ${encoded}`,
    `${type} ${encoded.slice(0, 20)}!`,
    `${type} ${btoa("\0\0\0\x0bssh-ed25519")}`,
    `${type}  ${encoded}`,
    `no-pty ${KEY}`,
    `${KEY}\n${KEY}`,
    `ssh-dss ${btoa("\0\0\0\x07ssh-dss....")}`,
    `${type} ${encoded} ${"c".repeat(CLOUD_INIT_MOST.sshKeyCharacters)}`,
  ];
  for (const key of broken) {
    assertEquals(Object.keys(wrong({ sshKeys: [key] })), ["sshKeys.0"], key);
  }
  const many = Array(CLOUD_INIT_MOST.sshKeys + 1).fill(KEY);
  assertEquals(Object.keys(wrong({ sshKeys: many })), ["sshKeys"]);
});

Deno.test("any key is taken or refused", () => {
  const near = fc.tuple(fc.nat(KEY.length), fc.nat(5), fc.string()).map(([at, length, it]) =>
    KEY.slice(0, at) + it + KEY.slice(at + length)
  );
  fc.assert(fc.property(fc.oneof(near, fc.string()), (key) => {
    const found = wrong({ sshKeys: [key] });
    if (Object.keys(found).length === 0) {
      assertEquals(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5/.test(key) && !/[\n\r]/.test(key), true, key);
    }
  }));
});
