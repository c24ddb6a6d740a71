/**
 * The key that firmware for tests has enrolled: Debian's OVMF brings it along, for everybody to use.
 *
 * @module
 */
import type { SecureBootKey } from "../../../bootimg/build/secure_boot.ts";
import { run } from "../../../scripts/setup/command.ts";
import { hostPackages } from "../../../scripts/setup/host_packages.ts";
import { trixieRoot } from "../../../scripts/setup/trixie.ts";

/** Puts the key into `folder`, without the passphrase that it comes with. */
export async function snakeoilKey(folder: string): Promise<SecureBootKey> {
  const place = `${await trixieRoot()}/usr/share/ovmf/PkKek-1-snakeoil`;
  await hostPackages(["openssl"]);
  const key = `${folder}/snakeoil.key`;
  await run(["openssl", "pkey", "-in", `${place}.key`, "-passin", "pass:snakeoil", "-out", key]);
  return { key, cert: `${place}.pem` };
}
