/**
 * Where a virtio device's registers lie in its BAR, and the vendor capabilities that say so (virtio
 * 1.2, section 4.1.4).
 *
 * @module
 */
import type { BusDevice } from "../../machine/bus.ts";
import type { PciFunction } from "../../machine/pci/function.ts";

/** Offsets in BAR 0. */
export const BAR = {
  SIZE: 0x80000,
  COMMON: 0x0,
  ISR: 0x2000,
  DEVICE: 0x4000,
  NOTIFY: 0x6000,
  MSIX_TABLE: 0x8000,
  MSIX_PENDING: 0x48000,
  /** Bytes between the notification addresses of two queues. */
  NOTIFY_MULTIPLIER: 4,
} as const;

const PCI_CAP_ID_VNDR = 0x09;

/** virtio_pci_cap.cfg_type */
const CFG_TYPE = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI: 5 } as const;

/** struct virtio_pci_cap; `extra` bytes follow it. */
function capability(
  type: number,
  place: { offset: number; length: number; extra?: number },
): Uint8Array {
  const extra = place.extra ?? 0;
  const bytes = new Uint8Array(16 + extra);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, PCI_CAP_ID_VNDR);
  view.setUint8(2, bytes.length);
  view.setUint8(3, type);
  view.setUint32(8, place.offset, true);
  view.setUint32(12, place.length, true);
  return bytes;
}

/** Offsets in the configuration access capability (section 4.1.4.9). */
const WINDOW = { BAR: 4, OFFSET: 8, LENGTH: 12, DATA: 16 } as const;

/** Adds the five capabilities; `bar` is what answers in BAR 0. */
export function addVirtioCapabilities(fn: PciFunction, bar: BusDevice): void {
  fn.addCapability(capability(CFG_TYPE.COMMON, { offset: BAR.COMMON, length: 0x38 }));
  fn.addCapability(capability(CFG_TYPE.ISR, { offset: BAR.ISR, length: 1 }));
  fn.addCapability(capability(CFG_TYPE.DEVICE, { offset: BAR.DEVICE, length: 0x1000 }));
  const notify = capability(CFG_TYPE.NOTIFY, { offset: BAR.NOTIFY, length: 0x1000, extra: 4 });
  new DataView(notify.buffer).setUint32(16, BAR.NOTIFY_MULTIPLIER, true);
  fn.addCapability(notify);
  addConfigurationWindow(fn, bar);
}

// Section 4.1.4.9: an access of `length` bytes at `offset` of a BAR, by configuration space alone.
function addConfigurationWindow(fn: PciFunction, bar: BusDevice): void {
  const bytes = capability(CFG_TYPE.PCI, { offset: 0, length: 0, extra: 4 });
  const writable = new Uint8Array(bytes.length);
  writable[WINDOW.BAR] = 0xFF;
  writable.fill(0xFF, WINDOW.OFFSET);
  const at = fn.addCapability(bytes, {
    writable,
    hook: {
      beforeRead(offset, size) {
        const target = window();
        if (target === undefined || offset + size <= WINDOW.DATA) return;
        fn.config.setUint32(at + WINDOW.DATA, bar.read(target.offset, target.length), true);
      },
      written(offset, size) {
        const target = window();
        if (target === undefined || offset + size <= WINDOW.DATA) return;
        const value = fn.config.getUint32(at + WINDOW.DATA, true);
        bar.write(target.offset, target.length, value % 2 ** (8 * target.length));
      },
    },
  });

  function window(): { offset: number; length: number } | undefined {
    const offset = fn.config.getUint32(at + WINDOW.OFFSET, true);
    const length = fn.config.getUint32(at + WINDOW.LENGTH, true);
    if (fn.config.getUint8(at + WINDOW.BAR) !== 0) return;
    if (length !== 1 && length !== 2 && length !== 4) return;
    if (offset % length !== 0 || offset + length > BAR.SIZE) return;
    return { offset, length };
  }
}
