/**
 * The fingerprint by which a person recognises the console's certificate.
 *
 * @module
 */

/** SHA-256 of the first certificate in a PEM text, as browsers write it: "AB:CD:...". */
export async function fingerprint(pem: string): Promise<string> {
  const match = pem.match(
    /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/,
  );
  if (!match) {
    throw new SyntaxError("Cannot read the console's certificate: the file holds none in PEM form");
  }
  const der = Uint8Array.fromBase64(match[1].replace(/\s/g, ""));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", der));
  return digest.toHex().toUpperCase().replace(/(..)(?!$)/g, "$1:");
}
