import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { loadCertificate, ownNames } from "./certificate.ts";

const names = () => ({ dns: ["box", "localhost"], ip: ["127.0.0.1", "::1", "10.0.0.5"] });

async function tempDir() {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

Deno.test("a certificate is made once and kept", async () => {
  await using dir = await tempDir();
  const first = await loadCertificate(dir.path, names);
  const again = await loadCertificate(dir.path, names);
  assertEquals(again, first);
  assertMatch(first.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  assertEquals(await Deno.readTextFile(`${dir.path}/fingerprint`), `${first.fingerprint}\n`);
  const { mode } = await Deno.stat(`${dir.path}/key.pem`);
  assertEquals(mode! & 0o777, 0o600);
});

Deno.test("it is a server's certificate for the names given, and no CA's", async () => {
  await using dir = await tempDir();
  const { cert } = await loadCertificate(dir.path, names);
  const parsed = new x509.X509Certificate(cert);
  assertEquals(parsed.getExtension(x509.BasicConstraintsExtension)?.ca, false);
  const alternative = parsed.getExtension(x509.SubjectAlternativeNameExtension)!;
  assertEquals(
    alternative.names.items.map(({ value }) => value),
    ["box", "localhost", "127.0.0.1", "::1", "10.0.0.5"],
  );
  // A clock that was never set, and any that is right for years to come.
  assertEquals(parsed.notBefore.getTime() <= Date.UTC(2025, 0, 1), true);
  assertEquals(parsed.notAfter.getTime() > Date.now() + 9 * 365 * 86400_000, true);
});

Deno.test("a file that was cut short, or a key of another certificate, is replaced", async () => {
  await using dir = await tempDir();
  await using other = await tempDir();
  const first = await loadCertificate(dir.path, names);
  await Deno.writeTextFile(`${dir.path}/cert.pem`, first.cert.slice(0, 100));
  const second = await loadCertificate(dir.path, names);
  assertNotEquals(second.fingerprint, first.fingerprint);
  const { key } = await loadCertificate(other.path, names);
  await Deno.writeTextFile(`${dir.path}/key.pem`, key);
  const third = await loadCertificate(dir.path, names);
  assertNotEquals(third.fingerprint, second.fingerprint);
});

Deno.test("this machine's own names always hold localhost", () => {
  const { dns, ip } = ownNames();
  assertEquals(dns.includes("localhost") && ip.includes("127.0.0.1") && ip.includes("::1"), true);
});

Deno.test("a TLS client that trusts the certificate gets an answer", async () => {
  await using dir = await tempDir();
  const { cert, key } = await loadCertificate(dir.path, names);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", cert, key, onListen() {} },
    () => new Response("hello"),
  );
  try {
    using client = Deno.createHttpClient({ caCerts: [cert] });
    const response = await fetch(
      `https://localhost:${server.addr.port}/`,
      { client } as RequestInit,
    );
    assertEquals(await response.text(), "hello");
  } finally {
    await server.shutdown();
  }
});
