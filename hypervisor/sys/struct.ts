/**
 * C structs as declared tables: field names and types in order, laid out by the x86-64 C ABI's rules
 * (natural alignment). The same tables describe the kernel's structs and the devices' registers.
 *
 * @module
 */

/** `u64` is a bigint; `n64` is the same 64 bits as a number, for addresses, sizes and counts. */
export type Scalar = "u8" | "u16" | "u32" | "i32" | "u64" | "n64";
export type Field = Scalar | readonly [Exclude<Scalar, "n64">, number];
export type Fields = Record<string, Field>;

type ArrayOf<T> = T extends "u8" ? Uint8Array
  : T extends "u16" ? Uint16Array
  : T extends "u32" ? Uint32Array
  : T extends "i32" ? Int32Array
  : BigUint64Array;

/** A struct's instance: scalars are properties, arrays are typed arrays over the same bytes. */
export type View<F extends Fields> =
  & {
    -readonly [
      K in keyof F as F[K] extends readonly unknown[] ? never : K
    ]: F[K] extends "u64" ? bigint : number;
  }
  & {
    readonly [
      K in keyof F as F[K] extends readonly unknown[] ? K : never
    ]: F[K] extends readonly [infer T, number] ? ArrayOf<T> : never;
  }
  & {
    /** All bytes of this instance. */
    readonly $bytes: Uint8Array<ArrayBuffer>;
  };

export interface Struct<F extends Fields> {
  readonly name: string;
  readonly size: number;
  readonly align: number;
  readonly fields: F;
  /** Byte offset of each field. */
  readonly offsets: { readonly [K in keyof F]: number };
  /** A view of existing bytes. */
  at(buffer: ArrayBufferLike, byteOffset?: number): View<F>;
  /** A new, zeroed instance; `init` sets its scalars. */
  create(init?: Partial<Record<keyof F, number | bigint>>): View<F>;
}

const SIZES: Record<Scalar, number> = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, n64: 8 };
const ARRAYS = {
  u8: Uint8Array,
  u16: Uint16Array,
  u32: Uint32Array,
  i32: Int32Array,
  u64: BigUint64Array,
} as const;

type Accessor = PropertyDescriptor & ThisType<{ $view: DataView }>;

// One closure-free accessor pair per field on a class per struct: V8 inlines them like fields.
function accessor(type: Scalar, at: number): Accessor {
  switch (type) {
    case "u8":
      return {
        get() {
          return this.$view.getUint8(at);
        },
        set(v: number) {
          this.$view.setUint8(at, v);
        },
      };
    case "u16":
      return {
        get() {
          return this.$view.getUint16(at, true);
        },
        set(v: number) {
          this.$view.setUint16(at, v, true);
        },
      };
    case "u32":
      return {
        get() {
          return this.$view.getUint32(at, true);
        },
        set(v: number) {
          this.$view.setUint32(at, v, true);
        },
      };
    case "i32":
      return {
        get() {
          return this.$view.getInt32(at, true);
        },
        set(v: number) {
          this.$view.setInt32(at, v, true);
        },
      };
    case "u64":
      return {
        get() {
          return this.$view.getBigUint64(at, true);
        },
        set(v: bigint | number) {
          this.$view.setBigUint64(at, BigInt(v), true);
        },
      };
    case "n64":
      return {
        get() {
          return this.$view.getUint32(at + 4, true) * 0x1_0000_0000 +
            this.$view.getUint32(at, true);
        },
        set(v: number | bigint) {
          const n = Number(v);
          this.$view.setUint32(at, n % 0x1_0000_0000, true);
          this.$view.setUint32(at + 4, n / 0x1_0000_0000, true);
        },
      };
  }
}

/**
 * Declares a struct.
 *
 * ```ts
 * const Point = struct("point", { x: "u16", y: "u32" });
 * Point.size; // 8
 * const p = Point.create({ x: 1 });
 * p.y = 2;
 * ```
 */
export function struct<const F extends Fields>(name: string, fields: F): Struct<F> {
  let size = 0;
  let align = 1;
  const offsets: Record<string, number> = {};
  for (const key in fields) {
    const field: Field = fields[key];
    const width = SIZES[typeof field === "string" ? field : field[0]];
    const at = Math.ceil(size / width) * width;
    align = Math.max(align, width);
    offsets[key] = at;
    size = at + width * (typeof field === "string" ? 1 : field[1]);
  }
  size = Math.ceil(size / align) * align;
  // Made when it is first used: a thread uses few of the structs that its modules declare.
  let Instance: ReturnType<typeof instanceOf> | undefined;
  const at = (buffer: ArrayBufferLike, byteOffset = 0) => {
    Instance ??= instanceOf({ fields, offsets, size });
    return new Instance(buffer, byteOffset) as unknown as View<F>;
  };
  return {
    name,
    size,
    align,
    fields,
    offsets: offsets as { [K in keyof F]: number },
    at,
    create: (init) => Object.assign(at(new ArrayBuffer(size)), init),
  };
}

function instanceOf(layout: { fields: Fields; offsets: Record<string, number>; size: number }) {
  const { fields, offsets, size } = layout;
  const arrays: { key: string; type: Exclude<Scalar, "n64">; offset: number; length: number }[] =
    [];
  class Instance {
    readonly $view: DataView;
    readonly $bytes: Uint8Array;
    constructor(buffer: ArrayBufferLike, byteOffset: number) {
      this.$view = new DataView(buffer, byteOffset, size);
      this.$bytes = new Uint8Array(buffer, byteOffset, size);
      for (const { key, type, offset, length } of arrays) {
        const array = new ARRAYS[type](buffer as ArrayBuffer, byteOffset + offset, length);
        Object.defineProperty(this, key, { value: array, enumerable: true });
      }
    }
  }
  for (const [key, field] of Object.entries(fields)) {
    const offset = offsets[key];
    if (typeof field === "string") {
      Object.defineProperty(Instance.prototype, key, accessor(field, offset));
    } else arrays.push({ key, type: field[0], offset, length: field[1] });
  }
  return Instance;
}
