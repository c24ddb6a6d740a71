/**
 * The console's certificate: made at the first start, kept from then on, so that its fingerprint on
 * the host's screen stays true.
 *
 * @module
 */
import { encodeHex } from "@std/encoding";
import { join } from "@std/path";
// The library below finds its parts by it.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

export interface Certificate {
  /** PEM. */
  cert: string;
  /** PEM, PKCS #8. */
  key: string;
  /** SHA-256 of the certificate, as browsers show it: "AB:CD:...". */
  fingerprint: string;
}

export interface Names {
  dns: string[];
  ip: string[];
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const YEAR_MS = 365 * 24 * 3600 * 1000;
/** A host whose clock was never set must not make a certificate that is over once it is. */
const EARLIEST_CLOCK = Date.UTC(2025, 0, 1);
const LIFE_MS = 10 * YEAR_MS;

/** The certificate in `dir`; a new one where there is none, or none that can be used. */
export async function loadCertificate(dir: string, names: () => Names): Promise<Certificate> {
  const kept = await readCertificate(dir);
  const certificate = kept ?? await makeCertificate(names());
  if (!kept) {
    await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    // The key first: a certificate without its key is made anew, a key alone too.
    await writeWhole(join(dir, "key.pem"), certificate.key, 0o600);
    await writeWhole(join(dir, "cert.pem"), certificate.cert, 0o644);
  }
  await writeWhole(join(dir, "fingerprint"), `${certificate.fingerprint}\n`, 0o644);
  return certificate;
}

async function readCertificate(dir: string): Promise<Certificate | null> {
  let cert: string;
  let key: string;
  try {
    cert = await Deno.readTextFile(join(dir, "cert.pem"));
    key = await Deno.readTextFile(join(dir, "key.pem"));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  try {
    const parsed = new x509.X509Certificate(cert);
    const isOver = parsed.notAfter.getTime() < Date.now();
    if (isOver || !await belongTogether(parsed, key)) return null;
    return { cert, key, fingerprint: await fingerprintOf(parsed) };
  } catch {
    // Half a file, or something else altogether.
    return null;
  }
}

async function belongTogether(cert: x509.X509Certificate, pem: string): Promise<boolean> {
  const der = x509.PemConverter.decodeFirst(pem);
  const privateKey = await crypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]);
  const publicKey = await cert.publicKey.export(ALGORITHM, ["verify"]);
  const probe = new TextEncoder().encode("probe");
  const signature = await crypto.subtle.sign(ALGORITHM, privateKey, probe);
  return await crypto.subtle.verify(ALGORITHM, publicKey, signature, probe);
}

/** A certificate that signs itself; not a CA's, which browsers would refuse for a server. */
export async function makeCertificate(names: Names): Promise<Certificate> {
  x509.cryptoProvider.set(crypto);
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const from = Math.min(Date.now(), EARLIEST_CLOCK);
  const serial = crypto.getRandomValues(new Uint8Array(16));
  // Positive, as X.509 asks.
  serial[0] &= 0x7f;
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: encodeHex(serial),
    name: `CN=${names.dns[0] ?? "denovisor"}, O=Denovisor`,
    notBefore: new Date(from),
    notAfter: new Date(Math.max(Date.now(), EARLIEST_CLOCK) + LIFE_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        ...names.dns.map((value) => ({ type: "dns" as const, value })),
        ...names.ip.map((value) => ({ type: "ip" as const, value })),
      ]),
    ],
  });
  const der = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    cert: `${cert.toString("pem")}\n`,
    key: `${x509.PemConverter.encode(der, "PRIVATE KEY")}\n`,
    fingerprint: await fingerprintOf(cert),
  };
}

async function fingerprintOf(cert: x509.X509Certificate): Promise<string> {
  const hash = encodeHex(await crypto.subtle.digest("SHA-256", cert.rawData)).toUpperCase();
  return hash.match(/../g)!.join(":");
}

/** The names and addresses under which browsers may come to this machine. */
export function ownNames(): Names {
  const ip = Deno.networkInterfaces().map(({ address }) => address.split("%")[0])
    // What is valid on one link only means nothing elsewhere.
    .filter((address) => !address.toLowerCase().startsWith("fe80:"));
  const host = Deno.hostname();
  const dns = [host, `${host}.local`, "localhost"].filter((name) => /^[A-Za-z0-9.-]+$/.test(name));
  return { dns: [...new Set(dns)], ip: [...new Set(["127.0.0.1", "::1", ...ip])] };
}

/** A power cut leaves the old file or the new one. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  await Deno.remove(temporary).catch(() => {});
  {
    using file = await Deno.open(temporary, { write: true, createNew: true, mode });
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.sync();
  }
  await Deno.rename(temporary, path);
}
