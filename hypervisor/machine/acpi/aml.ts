/**
 * AML, the byte code of ACPI's definition blocks (ACPI 6.5, chapter 20): the few terms that this PC's
 * DSDT is made of.
 *
 * @module
 */

export type Aml = Uint8Array;

const OP = {
  ZERO: 0x00,
  ONE: 0x01,
  NAME: 0x08,
  BYTE: 0x0A,
  WORD: 0x0B,
  DWORD: 0x0C,
  STRING: 0x0D,
  QWORD: 0x0E,
  SCOPE: 0x10,
  BUFFER: 0x11,
  PACKAGE: 0x12,
  METHOD: 0x14,
  ARG0: 0x68,
  AND: 0x7B,
  OR: 0x7D,
  NOTIFY: 0x86,
  CREATE_DWORD_FIELD: 0x8A,
  LNOT: 0x92,
  LEQUAL: 0x93,
  IF: 0xA0,
  RETURN: 0xA4,
  EXT: 0x5B,
  EXT_DEVICE: 0x82,
} as const;

/** Bytes in a row. */
export function bytes(...parts: (Aml | number)[]): Aml {
  const flat = parts.map((p) => typeof p === "number" ? Uint8Array.of(p) : p);
  const out = new Uint8Array(flat.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of flat) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** `value` in `width` bytes, little-endian. */
export function le(value: number, width: number): Aml {
  const out = new Uint8Array(width);
  for (let i = 0; i < width; i++) {
    out[i] = value % 256;
    value = Math.floor(value / 256);
  }
  return out;
}

/** PkgLength (20.2.4) counts itself, so its own width depends on what it says. */
function packaged(opcode: Aml, body: Aml): Aml {
  const n = body.length;
  if (n + 1 < 64) return bytes(opcode, n + 1, body);
  const width = n + 2 < 2 ** 12 ? 2 : n + 3 < 2 ** 20 ? 3 : 4;
  const total = n + width;
  const lead = (width - 1) << 6 | total & 0xF;
  return bytes(opcode, lead, le(Math.floor(total / 16), width - 1), body);
}

/** A path such as `\\_SB_.PCI0` or a single name; segments are padded to four characters. */
export function nameString(path: string): Aml {
  const root = path.startsWith("\\");
  const segments = path.slice(root ? 1 : 0).split(".").map((s) => s.padEnd(4, "_"));
  const text = new TextEncoder().encode(segments.join(""));
  const prefix = segments.length === 1
    ? []
    : segments.length === 2
    ? [0x2E]
    : [0x2F, segments.length];
  return bytes(...root ? [0x5C] : [], ...prefix, text);
}

export function integer(value: number): Aml {
  if (value === 0) return bytes(OP.ZERO);
  if (value === 1) return bytes(OP.ONE);
  if (value < 2 ** 8) return bytes(OP.BYTE, value);
  if (value < 2 ** 16) return bytes(OP.WORD, le(value, 2));
  if (value < 2 ** 32) return bytes(OP.DWORD, le(value, 4));
  return bytes(OP.QWORD, le(value, 8));
}

export function string(text: string): Aml {
  return bytes(OP.STRING, new TextEncoder().encode(text), 0);
}

/** An EISA id such as "PNP0A08", compressed into 32 bits (19.3.4). */
export function eisaId(id: string): Aml {
  const letter = (i: number) => id.charCodeAt(i) - 0x40;
  const head = letter(0) << 10 | letter(1) << 5 | letter(2);
  const tail = parseInt(id.slice(3), 16);
  return bytes(OP.DWORD, head >> 8, head & 0xFF, tail >> 8, tail & 0xFF);
}

/** A UUID in the mixed byte order of ToUUID (19.6.142). */
export function uuid(text: string): Aml {
  const hex = text.replaceAll("-", "");
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return buffer(Uint8Array.from(order, (i) => parseInt(hex.slice(i * 2, i * 2 + 2), 16)));
}

export function buffer(content: Aml): Aml {
  return packaged(bytes(OP.BUFFER), bytes(integer(content.length), content));
}

export function packageOf(...elements: Aml[]): Aml {
  return packaged(bytes(OP.PACKAGE), bytes(elements.length, ...elements));
}

export function name(path: string, value: Aml): Aml {
  return bytes(OP.NAME, nameString(path), value);
}

export function scope(path: string, ...terms: Aml[]): Aml {
  return packaged(bytes(OP.SCOPE), bytes(nameString(path), ...terms));
}

export function device(path: string, ...terms: Aml[]): Aml {
  return packaged(bytes(OP.EXT, OP.EXT_DEVICE), bytes(nameString(path), ...terms));
}

/** A method; `serialized` ones are not entered twice at a time. */
export function method(
  path: string,
  options: { args: number; serialized?: boolean },
  ...terms: Aml[]
): Aml {
  const flags = options.args | (options.serialized ? 8 : 0);
  return packaged(bytes(OP.METHOD), bytes(nameString(path), flags, ...terms));
}

/** Arg0, Arg1 ... of the method around. */
export function arg(n: number): Aml {
  return bytes(OP.ARG0 + n);
}

export function equal(a: Aml, b: Aml): Aml {
  return bytes(OP.LEQUAL, a, b);
}

export function not(a: Aml): Aml {
  return bytes(OP.LNOT, a);
}

/** A name of the caller's scope. */
export function named(path: string): Aml {
  return nameString(path);
}

/** Names the 32 bits of a buffer that begin at byte `at`. */
export function dwordField(source: Aml, at: number, path: string): Aml {
  return bytes(OP.CREATE_DWORD_FIELD, source, integer(at), nameString(path));
}

/** `target &= mask` */
export function keep(target: Aml, mask: Aml): Aml {
  return bytes(OP.AND, target, mask, target);
}

/** `target |= bits` */
export function set(target: Aml, bits: Aml): Aml {
  return bytes(OP.OR, target, bits, target);
}

/** `a & b`, for a condition. */
export function and(a: Aml, b: Aml): Aml {
  return bytes(OP.AND, a, b, OP.ZERO);
}

export function when(condition: Aml, ...terms: Aml[]): Aml {
  return packaged(bytes(OP.IF), bytes(condition, ...terms));
}

export function giveBack(value: Aml): Aml {
  return bytes(OP.RETURN, value);
}

export function notify(path: string, value: number): Aml {
  return bytes(OP.NOTIFY, nameString(path), integer(value));
}
