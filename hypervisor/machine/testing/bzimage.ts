/**
 * Kernels made by hand: a bzImage header around a few bytes of code.
 *
 * @module
 */

export interface ImageOptions {
  /** 64-bit code, which runs at the entry point with RSI at the zero page. */
  code?: Uint8Array;
  version?: number;
  xloadflags?: number;
  /** 512-byte units of real-mode code; 0 stands for 4. */
  setupSects?: number;
  /** Bytes of the protected-mode part that the header declares. */
  declared?: number;
  prefAddress?: bigint;
  initSize?: number;
  initrdAddressMax?: number;
  cmdlineSize?: number;
  /** The packed kernel, which lies behind the code. */
  packed?: Uint8Array;
}

/** Where 64-bit code begins in the protected-mode part. */
const ENTRY_64 = 0x200;

export function bzImage(options: ImageOptions = {}): Uint8Array<ArrayBuffer> {
  const { code = Uint8Array.of(0xF4), setupSects = 1, packed = new Uint8Array() } = options;
  const start = ((setupSects || 4) + 1) * 512;
  const length = Math.ceil((ENTRY_64 + code.length + packed.length) / 16) * 16;
  const file = new Uint8Array(start + length);
  const view = new DataView(file.buffer);
  view.setUint8(0x1F1, setupSects);
  view.setUint32(0x1F4, (options.declared ?? length) / 16, true);
  view.setUint16(0x1FE, 0xAA55, true);
  // A jump over the header: its second byte is the header's end.
  view.setUint16(0x200, 0x6AEB, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, options.version ?? 0x20F, true);
  view.setUint8(0x211, 1); // the kernel belongs at 1 MiB
  view.setUint32(0x22C, options.initrdAddressMax ?? 0x7FFF_FFFF, true);
  view.setUint32(0x230, 0x20_0000, true);
  view.setUint8(0x234, 1); // relocatable
  view.setUint16(0x236, options.xloadflags ?? 1, true);
  view.setUint32(0x238, options.cmdlineSize ?? 2047, true);
  view.setBigUint64(0x258, options.prefAddress ?? 0x100_0000n, true);
  view.setUint32(0x260, options.initSize ?? 0x10_0000, true);
  file.set(code, start + ENTRY_64);
  if (packed.length > 0) {
    view.setUint32(0x248, ENTRY_64 + code.length, true);
    view.setUint32(0x24C, packed.length, true);
    file.set(packed, start + ENTRY_64 + code.length);
  }
  return file;
}
