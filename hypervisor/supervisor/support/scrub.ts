/**
 * Takes secrets out of what leaves the host. What is known to be one is never put in; this is for
 * those that somebody else wrote into a log.
 *
 * @module
 */

export const LEFT_OUT = "[left out]";

/** Shorter than this, a text is as likely to stand somewhere by chance. */
const SHORTEST_KNOWN = 6;

const WORDS = "password|passwd|passphrase|(?<![a-z])pass(?![a-z])|pwd|secret|token|" +
  "api[-_]?key|private[-_]?key|credential";

const PATTERNS: [RegExp, string][] = [
  [/-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(?:-----END [A-Z0-9 ]+-----|$)/g, LEFT_OUT],
  [/\b(?:argon2(?:id|i|d)|pbkdf2|scrypt|bcrypt)\$[^\s"']+/g, LEFT_OUT],
  // Hashes as /etc/shadow and cloud-init have them.
  [/\$(?:[1256y]|2[abxy]|gy|7)\$[^\s"':]+/g, LEFT_OUT],
  [/\bssh-(?:rsa|dss|ed25519)\s+\S+|\b(?:ecdsa|sk)-\S+\s+AAAA\S+/g, LEFT_OUT],
  // Our own codes, and tokens: 256 random bits.
  [/\b(?:[0-9A-Z]{5}-){3}[0-9A-Z]{5}\b/g, LEFT_OUT],
  [/(?<![\w-])[\w-]{43}=?(?![\w-])/g, LEFT_OUT],
  [/(:\/\/)[^\s/@"']+@/g, `$1${LEFT_OUT}@`],
  [/\b((?:authorization|(?:set-)?cookie|x-csrf-token)["']?\s*[:=]\s*)[^\r\n"]+/gi, `$1${LEFT_OUT}`],
  [/\b(bearer|basic)\s+[\w.~+/-]{6,}=*/gi, `$1 ${LEFT_OUT}`],
  [
    new RegExp(
      `((?:${WORDS})[\\w-]{0,20}["']?\\s{0,4}[:=]\\s{0,4})("[^"\\n]*"|'[^'\\n]*'|[^\\s,;&}"']+)`,
      "gi",
    ),
    `$1${LEFT_OUT}`,
  ],
];

/** Names of fields whose value is a secret, whatever it is. */
const SECRET_NAME = new RegExp(`${WORDS}|^cookie$|^authorization$|cmdline|user-?data`, "i");

/** Whether the value of something of this name is a secret. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** Takes out what looks like a secret, and `known` ones wherever they stand. */
export class Scrubber {
  readonly #known: string[];

  constructor(known: Iterable<string> = []) {
    // The longer first: one may be a part of another.
    this.#known = [...new Set(known)].filter((it) => it.trim().length >= SHORTEST_KNOWN)
      .sort((a, b) => b.length - a.length);
  }

  text(text: string): string {
    let clean = text;
    for (const it of this.#known) clean = clean.replaceAll(it, LEFT_OUT);
    for (const [pattern, instead] of PATTERNS) clean = clean.replace(pattern, instead);
    return clean;
  }

  /** A value of JSON, with every text in it. */
  value(value: unknown): unknown {
    if (typeof value === "string") return this.text(value);
    if (Array.isArray(value)) return value.map((it) => this.value(it));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, it]) => [
        this.text(name),
        isSecretName(name) && it !== null ? LEFT_OUT : this.value(it),
      ]),
    );
  }
}
