/**
 * Checks that imports run one way through the house's rooms, that only `hypervisor/sys/` opens
 * libraries, and that no file has grown too long.
 *
 * @module
 */
import { dirname, join, normalize } from "@std/path";
import { CHECKOUT } from "./setup/checkout.ts";

/** The most lines a file may have. */
export const MOST_LINES = 400;

/**
 * What each room may import besides itself, as prefixes of paths. A file belongs to the first room
 * whose prefix it has. `hypervisor/vmm/control.ts` is the protocol that the supervisor shares;
 * process 1 takes its settings' schema from the API, and the way to write files from the supervisor.
 * Whether an update may be used, the supervisor is to find out as process 1 does.
 */
export const ROOMS: Record<string, readonly string[]> = {
  "hypervisor/sys/": [],
  "hypervisor/kvm/": ["hypervisor/sys/"],
  "hypervisor/machine/": ["hypervisor/sys/", "hypervisor/kvm/"],
  "hypervisor/devices/": ["hypervisor/sys/", "hypervisor/kvm/", "hypervisor/machine/"],
  "hypervisor/vmm/": [
    "hypervisor/sys/",
    "hypervisor/kvm/",
    "hypervisor/machine/",
    "hypervisor/devices/",
  ],
  "hypervisor/supervisor/": ["hypervisor/sys/", "hypervisor/vmm/control.ts", "bootimg/update/"],
  "mgmt/": ["hypervisor/supervisor/api/"],
  "bootimg/update/": ["hypervisor/sys/"],
  "bootimg/": [
    "hypervisor/sys/",
    "hypervisor/supervisor/api/",
    "hypervisor/supervisor/durable.ts",
    "scripts/setup/",
  ],
  "jsr/": [],
  "scripts/": ["hypervisor/", "bootimg/", "mgmt/"],
  "tests/": ["hypervisor/", "bootimg/", "mgmt/", "scripts/"],
};

/** A test may use what sets up the tools it needs. */
const TESTS_MAY_IMPORT = "scripts/setup/";

/** Returns a line for everything that is wrong with the sources, given by their paths. */
export function checkSources(sources: ReadonlyMap<string, string>): string[] {
  const wrong: string[] = [];
  for (const [path, text] of sources) {
    const lines = text.split("\n").length - 1;
    if (lines > MOST_LINES) wrong.push(`${path}: ${lines} lines, ${MOST_LINES} at most`);
    const code = codeOf(text);
    if (/\bDeno\.dlopen\b/.test(code) && !path.startsWith("hypervisor/sys/")) {
      wrong.push(`${path}: opens a library, which only hypervisor/sys/ may`);
    }
    const room = Object.keys(ROOMS).find((prefix) => path.startsWith(prefix));
    if (!room) {
      wrong.push(`${path}: lies in no room; add its folder to scripts/arrows.ts`);
      continue;
    }
    for (const target of importsOf(path, code)) {
      const allowed = [room, "deno.json", ...ROOMS[room]];
      if (/_test\.tsx?$|\/testing\//.test(path)) allowed.push(TESTS_MAY_IMPORT);
      if (!allowed.some((prefix) => target.startsWith(prefix))) {
        wrong.push(`${path}: imports ${target}, which is not for ${room}`);
      }
    }
  }
  return wrong;
}

/** The files of this project that a source imports, also as a worker or a resource. */
export function importsOf(path: string, code: string): string[] {
  // Each stands at the beginning of its line or behind code without quotes: what is quoted is text.
  const forms = [
    /^\s*(?:import|export)\b[^'"`;=()]*["'](\.{1,2}\/[^"']+)["']/gm,
    /^[^'"`\n]*\bimport\s*\(\s*["'](\.{1,2}\/[^"']+)["']/gm,
    /^[^'"`\n]*\bnew URL\(\s*["'](\.{1,2}\/[^"']+\.tsx?)["']\s*,\s*import\.meta\.url/gm,
    /^[^'"`\n]*\bimport\.meta\.resolve\(\s*["'](\.{1,2}\/[^"']+)["']/gm,
  ];
  const found = new Set<string>();
  for (const form of forms) {
    for (const [, specifier] of code.matchAll(form)) {
      found.add(normalize(join(dirname(path), specifier)));
    }
  }
  return [...found];
}

/** Leaves out templates, whose code is text, and comments that begin a line. */
function codeOf(text: string): string {
  return text.replaceAll(/^\s*\/\*[\s\S]*?\*\//gm, "")
    .replaceAll(/^\s*\/\/.*$/gm, "")
    .replaceAll(/`(?:\\.|[^`\\])*`/g, '""');
}

/** The sources that git knows or would add, by path. */
async function projectSources(): Promise<Map<string, string>> {
  const { stdout } = await new Deno.Command("git", {
    args: ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts", "*.tsx"],
    cwd: CHECKOUT,
  }).output();
  const sources = new Map<string, string>();
  for (const path of new TextDecoder().decode(stdout).split("\n").filter(Boolean)) {
    const text = await Deno.readTextFile(`${CHECKOUT}/${path}`).catch(() => undefined);
    if (text !== undefined) sources.set(path, text);
  }
  return sources;
}

if (import.meta.main) {
  const sources = await projectSources();
  const wrong = checkSources(sources);
  for (const line of wrong) console.error(line);
  if (sources.size === 0) {
    console.error(`Cannot check imports: git names no sources in "${CHECKOUT}"`);
    Deno.exit(1);
  }
  console.log(`${sources.size} files, ${wrong.length} against the rules of the house`);
  if (wrong.length > 0) Deno.exit(1);
}
