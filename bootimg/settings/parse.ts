/**
 * Reads `denovisor.yaml`: what is right in it, and each mistake with its line.
 *
 * @module
 */
import { type Document, isAlias, isMap, isNode, isPair, isScalar } from "yaml";
import { explainIssue } from "../../hypervisor/supervisor/api/field_errors.ts";
import { HostSettings, type SettingName } from "../../hypervisor/supervisor/api/host_settings.ts";
import { type Mistake, oneLine, readYaml } from "../../hypervisor/supervisor/api/yaml_text.ts";

export type { Mistake } from "../../hypervisor/supervisor/api/yaml_text.ts";

/** More than a file with every field at its longest has. */
export const MOST_BYTES = 64 * 1024;
/** Nobody reads more of them on a screen. */
const MOST_MISTAKES = 8;

/** What a file says: fields that are null are set back to their default. */
export interface FileSettings {
  settings: { [N in SettingName]?: HostSettings[N] | null };
  mistakes: Mistake[];
}

/** Reads the file's text. A field with a mistake in it is left out as a whole; nothing is thrown. */
export function parseSettings(text: string): FileSettings {
  try {
    return readSettings(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { settings: {}, mistakes: [{ line: 1, reason: `cannot be read: ${oneLine(reason)}` }] };
  }
}

function readSettings(text: string): FileSettings {
  const found: FileSettings = { settings: {}, mistakes: [] };
  const tell = (line: number, reason: string) => {
    if (found.mistakes.length < MOST_MISTAKES) found.mistakes.push({ line, reason });
  };
  const { document, mistakes, lineAt } = readYaml(text, { mostBytes: MOST_BYTES });
  if (document === null) return { settings: {}, mistakes };
  const { contents } = document;
  // An empty file, or one of comments.
  if (contents === null || isScalar(contents) && contents.value === null) return found;
  if (!isMap(contents)) {
    tell(lineAt(contents.range?.[0] ?? 0), "the file must have fields, such as hostname: lab");
    return found;
  }
  for (const pair of contents.items) {
    const key = pair.key;
    const at = isNode(key) ? lineAt(key.range?.[0] ?? 0) : 1;
    const name = isScalar(key) ? String(key.value) : "";
    if (!isSettingName(name)) {
      tell(at, `${oneLine(name) || "this"} is not a setting`);
      continue;
    }
    const value = isNode(pair.value) ? pair.value.toJS(document) : null;
    if (value === null) {
      found.settings[name] = null;
      continue;
    }
    const result = HostSettings.shape[name].safeParse(value, { error: explainIssue });
    if (result.success) {
      Object.assign(found.settings, { [name]: result.data });
      continue;
    }
    for (const issue of result.error.issues) {
      const keys = issue.code === "unrecognized_keys" ? issue.keys : [null];
      for (const unknown of keys) {
        const path = [name, ...issue.path, ...(unknown === null ? [] : [unknown])];
        const words = unknown === null ? issue.message : "is not a field of this";
        tell(lineOf(document, path, lineAt) ?? at, `${path.map(String).join(".")} ${words}`);
      }
    }
  }
  return found;
}

function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(HostSettings.shape, name);
}

/** The line of what lies at `path`, or of the nearest that it would lie in. */
function lineOf(
  document: Document,
  path: readonly PropertyKey[],
  lineAt: (offset: number) => number,
): number | null {
  for (let length = path.length; length > 0; length--) {
    const holder = document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    const pair = isMap(holder)
      ? holder.items.find(({ key }) => isScalar(key) && String(key.value) === String(last))
      : undefined;
    const node = isPair(pair) ? pair.key : document.getIn(path.slice(0, length), true);
    if (isNode(node) && !isAlias(node) && node.range) return lineAt(node.range[0]);
  }
  return null;
}
