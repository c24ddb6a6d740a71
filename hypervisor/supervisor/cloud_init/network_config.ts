/**
 * Looks whether a text is a network configuration as cloud-init takes it. What it says of cards and addresses
 * is the guest's matter; what is no such text at all is told to who wrote it, not only to the guest's log.
 *
 * @module
 */
import { isMap, isNode, isScalar, isSeq, type ParsedNode, visit, type YAMLMap } from "yaml";
import { CLOUD_INIT_MOST } from "../api/limits.ts";
import { oneLine, readYaml } from "../api/yaml_text.ts";

/** What of version 2 is a mapping of names to what has them. */
const KINDS = ["ethernets", "bonds", "bridges", "vlans", "wifis"];
/** What cloud-init, whose YAML is of version 1.1, reads as a number of base 60. */
const BASE_60 = /^[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+$/;

type Told = (at: unknown, what: string) => string;

/** What is wrong with the text, for a person; null where nothing is. */
export function networkConfigMistake(text: string): string | null {
  const { document, mistakes, lineAt } = readYaml(text, {
    mostBytes: CLOUD_INIT_MOST.networkConfigBytes,
  });
  if (document === null) return `line ${mistakes[0].line}: ${mistakes[0].reason}`;
  const told: Told = (at, what) => `line ${isNode(at) ? lineAt(at.range?.[0] ?? 0) : 1}: ${what}`;
  let mistake: string | null = null;
  visit(document, {
    Scalar(_, node) {
      if (node.type !== "PLAIN" || !BASE_60.test(node.source ?? "")) return;
      mistake = told(
        node,
        `${oneLine(node.source!)} must be in quotes, or cloud-init reads a number`,
      );
      return visit.BREAK;
    },
  });
  return mistake ?? shapeMistake(document.contents, told);
}

function shapeMistake(contents: unknown, told: Told): string | null {
  const inner = isMap(contents) ? contents.get("network", true) : undefined;
  const root = inner ?? contents;
  if (!isMap(root)) return told(root, "must have fields, such as version: 2");
  const version = root.get("version");
  if (version === 1) return version1(root, told);
  if (version === 2) return version2(root, told);
  return told(root.get("version", true) ?? root, "must say version: 1 or version: 2");
}

function version1(root: YAMLMap, told: Told): string | null {
  const config = root.get("config", true) as unknown as ParsedNode | undefined;
  if (isScalar(config) && config.value === "disabled") return null;
  if (!isSeq(config)) return told(config ?? root, "config must be a list, or disabled");
  for (const item of config.items) {
    if (!isMap(item) || typeof item.get("type") !== "string") {
      return told(item, "must have a type, such as type: physical");
    }
  }
  return null;
}

function version2(root: YAMLMap, told: Told): string | null {
  for (const kind of KINDS) {
    const all = root.get(kind, true) as unknown;
    if (all === undefined) continue;
    if (!isMap(all)) return told(all, `${kind} must have names, each with what it is to have`);
    for (const { key, value } of all.items) {
      if (!isMap(value)) {
        return told(key, `${kind}.${oneLine(String(key))} must have fields, such as dhcp4: true`);
      }
    }
  }
  return null;
}
