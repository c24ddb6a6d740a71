/**
 * Values as text that keeps what JSON loses: shared references and cycles, signals, and JavaScript's
 * own types. The text is one flat JSON array; a value stands for its children by their index in it.
 *
 * @module
 */

/** Values that have no place in the array. */
const UNDEFINED = -1;
const NAN = -2;
const POSITIVE_INFINITY = -3;
const NEGATIVE_INFINITY = -4;
const NEGATIVE_ZERO = -5;

/** Turns a value of a kind that the reader knows by `tag` into what is written for it; else undefined. */
export type Replacer = (
  value: object,
) => { tag: string; content: unknown } | undefined;

/** Throws a TypeError that names the path of what cannot be written. */
export function serialize(
  root: unknown,
  replace: Replacer = () => undefined,
): string {
  const out: unknown[] = [];
  const indexes = new Map<unknown, number>();

  const write = (value: unknown, path: string): number => {
    if (value === undefined) return UNDEFINED;
    if (typeof value === "number") {
      if (Number.isNaN(value)) return NAN;
      if (value === Infinity) return POSITIVE_INFINITY;
      if (value === -Infinity) return NEGATIVE_INFINITY;
      if (Object.is(value, -0)) return NEGATIVE_ZERO;
    }
    const known = indexes.get(value);
    if (known !== undefined) return known;
    if (typeof value === "function" || typeof value === "symbol") {
      throw new TypeError(
        `Cannot send ${path} to the browser: it is a ${typeof value}, which only the server has`,
      );
    }
    const index = out.push(null) - 1;
    indexes.set(value, index);
    out[index] = encode(value, path);
    return index;
  };

  const encode = (value: unknown, path: string): unknown => {
    if (typeof value === "bigint") return ["BigInt", String(value)];
    if (typeof value !== "object" || value === null) return value;
    const replaced = replace(value);
    if (replaced) return [replaced.tag, write(replaced.content, path)];
    if (Array.isArray(value)) {
      return [...value.keys()].map((i) => write(value[i], `${path}[${i}]`));
    }
    if (value instanceof URL) return ["URL", value.href];
    if (value instanceof Date) return ["Date", value.getTime()];
    if (value instanceof RegExp) return ["RegExp", value.source, value.flags];
    if (value instanceof Uint8Array) {
      return ["Uint8Array", btoa(String.fromCharCode(...value))];
    }
    if (value instanceof Set) {
      return [
        "Set",
        ...[...value].map((item) => write(item, path)),
      ];
    }
    if (value instanceof Map) {
      return [
        "Map",
        ...[...value].flat(1).map((item) => write(item, path)),
      ];
    }
    return Object.fromEntries(
      Object.entries(value).map((
        [key, item],
      ) => [key, write(item, `${path}.${key}`)]),
    );
  };

  const first = write(root, "props");
  return first < 0 ? String(first) : JSON.stringify(out);
}

/** Makes the value again for what a {@linkcode Replacer} wrote. */
export type Revivers = Record<string, (content: unknown) => unknown>;

/** Reads what {@linkcode serialize} wrote; throws a SyntaxError on anything else. */
export function deserialize(text: string, revivers: Revivers = {}): unknown {
  const parsed: unknown = JSON.parse(text);
  const values = Array.isArray(parsed) ? parsed : [];
  const made = new Map<number, unknown>();

  const read = (index: unknown): unknown => {
    switch (index) {
      case UNDEFINED:
        return undefined;
      case NAN:
        return NaN;
      case POSITIVE_INFINITY:
        return Infinity;
      case NEGATIVE_INFINITY:
        return -Infinity;
      case NEGATIVE_ZERO:
        return -0;
    }
    if (typeof index !== "number" || !(index in values)) {
      throw new SyntaxError(
        `Cannot read value "${index}": there are ${values.length}`,
      );
    }
    if (made.has(index)) return made.get(index);
    return decode(index, values[index]);
  };

  const keep = <T>(index: number, value: T): T => {
    made.set(index, value);
    return value;
  };

  const decode = (index: number, raw: unknown): unknown => {
    if (typeof raw !== "object" || raw === null) return keep(index, raw);
    if (!Array.isArray(raw)) {
      const object: Record<string, unknown> = keep(index, {});
      for (const [key, item] of Object.entries(raw)) {
        // Not assigned, so that "__proto__" is a property like any other.
        Object.defineProperty(object, key, {
          value: read(item),
          enumerable: true,
          writable: true,
          configurable: true,
        });
      }
      return object;
    }
    const [tag, ...rest] = raw;
    if (typeof tag !== "string") {
      const array: unknown[] = keep(index, []);
      for (const item of raw) array.push(read(item));
      return array;
    }
    switch (tag) {
      case "BigInt":
        return keep(index, BigInt(rest[0]));
      case "URL":
        return keep(index, new URL(rest[0]));
      case "Date":
        return keep(index, new Date(rest[0] ?? NaN));
      case "RegExp":
        return keep(index, new RegExp(rest[0], rest[1]));
      case "Uint8Array":
        return keep(
          index,
          Uint8Array.from(atob(rest[0]), (char) => char.charCodeAt(0)),
        );
      case "Set": {
        const set = keep(index, new Set());
        for (const item of rest) set.add(read(item));
        return set;
      }
      case "Map": {
        const map = keep(index, new Map());
        for (let i = 0; i < rest.length; i += 2) {
          map.set(read(rest[i]), read(rest[i + 1]));
        }
        return map;
      }
    }
    if (!Object.hasOwn(revivers, tag)) {
      throw new SyntaxError(`Cannot read a "${tag}": nothing here knows how`);
    }
    return keep(index, revivers[tag](read(rest[0])));
  };

  return read(Array.isArray(parsed) ? 0 : parsed);
}
