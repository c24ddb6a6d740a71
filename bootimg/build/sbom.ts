/**
 * What the image is made of, as an SPDX 2.3 document: Debian's packages, npm's packages and Deno.
 *
 * @module
 */
import { CHECKOUT } from "../../scripts/setup/checkout.ts";
import { run } from "../../scripts/setup/command.ts";
import type { DebFacts } from "../../scripts/setup/debs.ts";

/** An npm package whose code is in the image. */
export interface NpmPackage {
  name: string;
  version: string;
  /** As npm's registry and deno.lock tell it: "sha512-" and base64. */
  integrity: string;
}

/** What the document is to tell of. */
export interface SbomParts {
  version: string;
  /** The system's file. */
  system: { name: string; sha256: string };
  /** The time of the commit, in seconds. */
  epoch: number;
  debian: readonly DebFacts[];
  npm: readonly NpmPackage[];
  deno: { version: string; sha256: string };
}

interface Checksum {
  algorithm: "SHA256" | "SHA512";
  checksumValue: string;
}

const ROOT_ID = "SPDXRef-Package-denovisor";
const NOBODY_SAID = "NOASSERTION";

/** The document's text; the same parts in any order give the same text. */
export function sbom(parts: SbomParts): string {
  const { version, system, deno } = parts;
  const packages = [
    ...unique(parts.debian.map(debianPackage)),
    ...unique(parts.npm.map(npmPackage)),
    packageOf({
      id: `npm-deno-linux-x64-glibc-${deno.version}`,
      name: "deno",
      version: deno.version,
      // Of the program itself, as it lies in the image.
      checksum: { algorithm: "SHA256", checksumValue: deno.sha256 },
      location:
        `https://registry.npmjs.org/@deno/linux-x64-glibc/-/linux-x64-glibc-${deno.version}.tgz`,
      purl: `pkg:npm/%40deno/linux-x64-glibc@${deno.version}`,
    }),
  ];
  const document = {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `denovisor-${version}`,
    documentNamespace: `urn:denovisor:spdx:${version}:${system.sha256}`,
    creationInfo: {
      created: new Date(parts.epoch * 1000).toISOString().replace(/\.\d+Z$/, "Z"),
      creators: [`Tool: denovisor-image-${version}`],
    },
    documentDescribes: [ROOT_ID],
    packages: [{
      ...packageOf({
        id: "denovisor",
        name: "denovisor",
        version,
        checksum: { algorithm: "SHA256", checksumValue: system.sha256 },
        location: NOBODY_SAID,
      }),
      packageFileName: system.name,
      primaryPackagePurpose: "OPERATING-SYSTEM",
    }, ...packages],
    relationships: [
      relationship("SPDXRef-DOCUMENT", "DESCRIBES", ROOT_ID),
      ...packages.map((it) => relationship(ROOT_ID, "CONTAINS", it.SPDXID)),
    ],
  };
  return JSON.stringify(document, null, 2) + "\n";
}

function debianPackage(it: DebFacts) {
  const version = encodeURIComponent(it.version);
  return packageOf({
    id: `deb-${it.package}-${it.version}`,
    name: it.package,
    version: it.version,
    checksum: { algorithm: "SHA256", checksumValue: it.sha256 },
    location: NOBODY_SAID,
    sourceInfo: `built from the Debian source package ${it.source}`,
    purl: `pkg:deb/debian/${encodeURIComponent(it.package)}@${version}?arch=amd64&distro=trixie`,
  });
}

function npmPackage(it: NpmPackage) {
  const path = it.name.replace(/^@/, "%40");
  return packageOf({
    id: `npm-${it.name}-${it.version}`,
    name: it.name,
    version: it.version,
    checksum: {
      algorithm: "SHA512",
      checksumValue: Uint8Array.fromBase64(it.integrity.replace(/^sha512-/, "")).toHex(),
    },
    location: `https://registry.npmjs.org/${it.name}/-/${
      it.name.replace(/^.*\//, "")
    }-${it.version}.tgz`,
    purl: `pkg:npm/${path}@${it.version}`,
  });
}

function packageOf(it: {
  id: string;
  name: string;
  version: string;
  checksum: Checksum;
  location: string;
  sourceInfo?: string;
  purl?: string;
}) {
  return {
    name: it.name,
    // Other characters may not be in it.
    SPDXID: `SPDXRef-Package-${it.id.replaceAll(/[^A-Za-z0-9.-]/g, "-")}`,
    versionInfo: it.version,
    downloadLocation: it.location,
    filesAnalyzed: false,
    ...(it.sourceInfo ? { sourceInfo: it.sourceInfo } : {}),
    licenseConcluded: NOBODY_SAID,
    licenseDeclared: NOBODY_SAID,
    copyrightText: NOBODY_SAID,
    checksums: [it.checksum],
    ...(it.purl
      ? {
        externalRefs: [{
          referenceCategory: "PACKAGE-MANAGER",
          referenceType: "purl",
          referenceLocator: it.purl,
        }],
      }
      : {}),
  };
}

function unique<T extends { SPDXID: string }>(packages: readonly T[]): T[] {
  const byId = new Map(packages.map((it) => [it.SPDXID, it]));
  return [...byId.values()].sort((a, b) => a.SPDXID < b.SPDXID ? -1 : 1);
}

function relationship(from: string, type: string, to: string) {
  return { spdxElementId: from, relationshipType: type, relatedSpdxElement: to };
}

interface DenoInfo {
  modules: { kind?: string; npmPackage?: string }[];
  npmPackages: Record<string, { name: string; version: string; dependencies: string[] }>;
}

/**
 * The npm packages that modules import, and those that these need, though a bundle may use little of
 * them. `scratch` is a path in the checkout for a module that imports all.
 */
export async function npmPackagesOf(
  modules: readonly string[],
  scratch: string,
): Promise<NpmPackage[]> {
  await Deno.writeTextFile(scratch, modules.map((it) => `import "${it}";\n`).join(""));
  const { stdout } = await run([Deno.execPath(), "info", "--json", "--quiet", scratch], {
    cwd: CHECKOUT,
  });
  const lock = JSON.parse(await Deno.readTextFile(`${CHECKOUT}/deno.lock`));
  return packagesOf(JSON.parse(stdout), lock.npm);
}

/** The same from what Deno tells of the modules, and the lock file's packages. */
export function packagesOf(
  info: DenoInfo,
  lock: Record<string, { integrity?: string }>,
): NpmPackage[] {
  const found = new Map<string, NpmPackage>();
  const queue = info.modules.flatMap((it) => it.npmPackage ?? []);
  for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
    if (found.has(id)) continue;
    const { name, version, dependencies } = info.npmPackages[id];
    const integrity = lock[id]?.integrity;
    if (integrity === undefined) {
      throw new Error(`Cannot tell what the image is made of: deno.lock has no digest of "${id}"`);
    }
    found.set(id, { name, version, integrity });
    queue.push(...dependencies);
  }
  return [...found.values()];
}
