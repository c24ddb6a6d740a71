/**
 * `deno task image`: builds the appliance's image and says what it is made of.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { buildImage, type ImageOptions } from "./build/image.ts";
import { sizeTable } from "./build/size.ts";

const USAGE = `Usage: deno task image [OPTIONS]

  --firmware           the variant with firmware for network cards, which is not free software
  --key KEY            with --cert: signs for Secure Boot with this private key (PEM)
  --cert CERT          its certificate (PEM)
  --enroll FOLDER      puts the .auth, .esl, .cer and .crt files of a folder on the boot partition
  --update-key KEY     signs the system with this Ed25519 key (PEM), which the image's hosts then ask
                       of updates; a public key is built in alone, and signing is left to you;
                       without this option, hosts take no updates
  --out FOLDER         where to put what is made; out by default
  --frozen             fail where a pinned Debian package is not served any more
`;

/** What the command line asks for. */
export function parseOptions(args: readonly string[]): ImageOptions {
  const unknown: string[] = [];
  const flags = parseArgs([...args], {
    string: ["key", "cert", "enroll", "update-key", "out"],
    boolean: ["firmware", "frozen"],
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  if (unknown.length > 0) throw new TypeError(`Cannot understand "${unknown[0]}"`);
  const { key, cert, enroll, firmware } = flags;
  if ((key === undefined) !== (cert === undefined)) {
    throw new TypeError("Cannot sign for Secure Boot: --key and --cert need each other");
  }
  if (enroll !== undefined && key === undefined) {
    throw new TypeError("Cannot put certificates on the boot partition: --enroll needs --key");
  }
  for (const [name, value] of Object.entries(flags)) {
    if (value === "") throw new TypeError(`Cannot use --${name}: it needs a path`);
  }
  return {
    firmware,
    folder: flags.out,
    updateKey: flags["update-key"],
    ...(key !== undefined && cert !== undefined ? { secureBoot: { key, cert, enroll } } : {}),
  };
}

if (import.meta.main) {
  let options: ImageOptions;
  try {
    options = parseOptions(Deno.args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    Deno.exit(2);
  }
  try {
    const made = await buildImage(options);
    for (const path of [made.image, made.system, made.signature, made.sbom, made.firmware]) {
      if (path !== null) console.log(path);
    }
    if (made.signature === null) {
      console.log(
        options.updateKey === undefined
          ? "takes no updates: no update key was given"
          : "not signed: sign the system with the private half of the update key",
      );
    }
    console.log(sizeTable(made.parts));
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
