import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { PEER_NAME as DIALLED } from "./dial.ts";
import { PEER_NAME } from "./certificate.ts";
import { fingerprintOf, isSigned, loadIdentity } from "./identity.ts";

async function withDirectory(use: (path: string) => Promise<void>) {
  const path = Deno.makeTempDirSync();
  try {
    await use(path);
  } finally {
    Deno.removeSync(path, { recursive: true });
  }
}

Deno.test("a host's identity is made once, for itself alone", () =>
  withDirectory(async (path) => {
    const made = await loadIdentity(path);
    const again = await loadIdentity(path);
    assertEquals(again.fingerprint, made.fingerprint);
    assertEquals(Deno.statSync(`${path}/identity.pem`).mode! & 0o777, 0o600);
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["identity.pem"]);
    const certificate = new X509Certificate(made.certificate);
    assertEquals(certificate.subjectAltName, `DNS:${PEER_NAME}`);
    assertEquals(DIALLED, PEER_NAME);
    assertEquals(new Date(certificate.validTo).getUTCFullYear(), 9999);
    const hex = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
    assertEquals(await fingerprintOf(made.certificate), hex);
  }));

Deno.test("a signature is of one text by one key", () =>
  withDirectory(async (path) => {
    const [a, b] = [await loadIdentity(`${path}/a`), await loadIdentity(`${path}/b`)];
    assertNotEquals(a.fingerprint, b.fingerprint);
    const signature = await a.sign("text");
    assertEquals(await isSigned("text", { by: a.certificate, signature }), true);
    assertEquals(await isSigned("other", { by: a.certificate, signature }), false);
    assertEquals(await isSigned("text", { by: b.certificate, signature }), false);
  }));

Deno.test("an identity that is damaged is refused, and not made anew", () =>
  withDirectory(async (path) => {
    const [a, b] = [await loadIdentity(`${path}/a`), await loadIdentity(`${path}/b`)];
    Deno.writeTextFileSync(`${path}/a/identity.pem`, a.key + b.certificate);
    await assertRejects(() => loadIdentity(`${path}/a`), SyntaxError, "its key is another's");
    Deno.writeTextFileSync(`${path}/a/identity.pem`, a.key);
    await assertRejects(() => loadIdentity(`${path}/a`), SyntaxError, "no key or certificate");
  }));
