/**
 * What the SPDX 2.3 specification asks of a document, for tests.
 *
 * @module
 */

type Json = Record<string, unknown>;

const ID = /^SPDXRef-[A-Za-z0-9.-]+$/;
const HEX_DIGITS: Record<string, RegExp> = { SHA256: /^[0-9a-f]{64}$/, SHA512: /^[0-9a-f]+$/ };
const PURPOSES = ["APPLICATION", "OPERATING-SYSTEM", "FILE", "OTHER"];

/** A line for each thing that is missing or wrong; none for a document that is right. */
export function spdxProblems(document: Json): string[] {
  const problems: string[] = [];
  const check = (isRight: boolean, what: string) => void (isRight || problems.push(what));
  const isText = (value: unknown) => typeof value === "string" && value !== "";
  // Clause 6: the document.
  check(document.spdxVersion === "SPDX-2.3", "spdxVersion");
  check(document.dataLicense === "CC0-1.0", "dataLicense");
  check(document.SPDXID === "SPDXRef-DOCUMENT", "SPDXID");
  check(isText(document.name), "name");
  const namespace = document.documentNamespace;
  check(
    typeof namespace === "string" && URL.canParse(namespace) && !namespace.includes("#"),
    "documentNamespace",
  );
  const creation = (document.creationInfo ?? {}) as Json;
  check(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(String(creation.created)), "creationInfo.created");
  const creators = creation.creators;
  check(
    Array.isArray(creators) && creators.length > 0 &&
      creators.every((it) => /^(Tool|Person|Organization): \S/.test(it)),
    "creationInfo.creators",
  );
  // Clause 7: its packages.
  const ids = new Set(["SPDXRef-DOCUMENT"]);
  for (const it of document.packages as Json[] ?? []) {
    const what = (field: string) => `package ${it.name}: ${field}`;
    check(isText(it.name), what("name"));
    check(ID.test(String(it.SPDXID)) && !ids.has(String(it.SPDXID)), what("SPDXID"));
    ids.add(String(it.SPDXID));
    check(isText(it.versionInfo), what("versionInfo"));
    const location = String(it.downloadLocation);
    check(
      location === "NOASSERTION" || location === "NONE" || URL.canParse(location),
      what("downloadLocation"),
    );
    // Where files are analyzed, a verification code is mandatory.
    check(it.filesAnalyzed === false, what("filesAnalyzed"));
    for (const field of ["licenseConcluded", "licenseDeclared", "copyrightText"]) {
      check(isText(it[field]), what(field));
    }
    const checksums = it.checksums as Json[] | undefined;
    check(
      checksums !== undefined && checksums.length > 0 &&
        checksums.every((sum) =>
          HEX_DIGITS[String(sum.algorithm)]?.test(String(sum.checksumValue))
        ),
      what("checksums"),
    );
    for (const reference of it.externalRefs as Json[] ?? []) {
      check(reference.referenceCategory === "PACKAGE-MANAGER", what("referenceCategory"));
      check(reference.referenceType === "purl", what("referenceType"));
      check(/^pkg:(deb|npm)\/[^ ]+@[^ ]+$/.test(String(reference.referenceLocator)), what("purl"));
    }
    const purpose = it.primaryPackagePurpose;
    check(
      purpose === undefined || PURPOSES.includes(String(purpose)),
      what("primaryPackagePurpose"),
    );
  }
  // Clause 11: relationships.
  const relationships = document.relationships as Json[] ?? [];
  check(relationships.some((it) => it.relationshipType === "DESCRIBES"), "DESCRIBES");
  for (const it of relationships) {
    check(
      ids.has(String(it.spdxElementId)) && ids.has(String(it.relatedSpdxElement)),
      `relationship ${it.spdxElementId} ${it.relationshipType} ${it.relatedSpdxElement}`,
    );
  }
  return problems;
}
