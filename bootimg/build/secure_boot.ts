/**
 * Signing for Secure Boot with a key of the owner's own.
 *
 * @module
 */
import { runTool } from "./tools.ts";

/** A key, its certificate, and what else is to be found on the boot partition for enrolling them. */
export interface SecureBootKey {
  /** Path of the private key, PEM. */
  key: string;
  /** Path of its certificate, PEM. */
  cert: string;
  /** A folder whose `.auth`, `.esl`, `.cer` and `.crt` files are put on the boot partition. */
  enroll?: string;
}

/** The folder on the boot partition that firmware can enroll certificates from. */
export const KEYS_FOLDER = "keys";

/** Signs the program at `path` in place; the same key, program and time give the same bytes. */
export async function sign(path: string, owner: SecureBootKey, epoch: number): Promise<void> {
  const signed = `${path}.signed`;
  // The signature tells when it was made.
  await runTool(
    ["sbsign", "--key", owner.key, "--cert", owner.cert, "--output", signed, path],
    { epoch },
  );
  await runTool(["sbverify", "--cert", owner.cert, signed]);
  await Deno.rename(signed, path);
}

/** The files for enrolling, by where they lie on the boot partition; new ones are made in `folder`. */
export async function enrollmentFiles(
  owner: SecureBootKey,
  folder: string,
): Promise<Record<string, string>> {
  const own = `${folder}/denovisor.cer`;
  await Deno.writeFile(own, certificateBytes(await Deno.readTextFile(owner.cert), owner.cert));
  const files: Record<string, string> = { [`${KEYS_FOLDER}/denovisor.cer`]: own };
  if (owner.enroll === undefined) return files;
  for await (const { name, isFile } of Deno.readDir(owner.enroll)) {
    if (!isFile || !/\.(auth|esl|cer|crt)$/i.test(name)) continue;
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
      throw new RangeError(
        `Cannot put "${name}" on the boot partition: use letters, digits, dots and dashes only`,
      );
    }
    // A copy: the file's time is set for the image, and this one is somebody's own.
    await Deno.copyFile(`${owner.enroll}/${name}`, `${folder}/${name}`);
    files[`${KEYS_FOLDER}/${name}`] = `${folder}/${name}`;
  }
  return files;
}

/** A certificate as firmware reads it, from PEM. */
export function certificateBytes(pem: string, name: string): Uint8Array<ArrayBuffer> {
  const [, body] =
    /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(pem) ?? [];
  if (body === undefined) {
    throw new SyntaxError(
      `Cannot read the certificate "${name}": it is no certificate in PEM form`,
    );
  }
  return Uint8Array.fromBase64(body.replaceAll(/\s/g, ""));
}
