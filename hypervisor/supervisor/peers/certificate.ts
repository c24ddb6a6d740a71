/**
 * The certificate by which other hosts know this one. It signs itself and is over never: hosts compare
 * it whole, so neither an authority nor a clock has a say.
 *
 * @module
 */
import { encodeHex } from "@std/encoding";
// The library below finds its parts by it.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

/** What every host's certificate is for. No public authority may sign for this domain. */
export const PEER_NAME = "peer.denovisor.internal";

/** What Deno's TLS takes on both sides. */
export const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A host whose clock was never set has the same as any other. */
const NOT_BEFORE = new Date(0);
/** "No end that is known", as RFC 5280 has it. */
const NOT_AFTER = new Date("9999-12-31T23:59:59Z");
const SERIAL_BYTES = 16;

/** Both in PEM. */
export interface KeyAndCertificate {
  key: string;
  certificate: string;
}

/** A new key, and a certificate of it. */
export async function makeCertificate(): Promise<KeyAndCertificate> {
  x509.cryptoProvider.set(crypto);
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const serial = crypto.getRandomValues(new Uint8Array(SERIAL_BYTES));
  // Positive, and as long as it is said to be.
  serial[0] = serial[0] & 0x7f | 0x40;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: encodeHex(serial),
    name: `CN=${PEER_NAME}, O=Denovisor`,
    notBefore: NOT_BEFORE,
    notAfter: NOT_AFTER,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: PEER_NAME }]),
    ],
  });
  const der = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: `${x509.PemConverter.encode(der, "PRIVATE KEY")}\n`,
  };
}
