/**
 * The PCI Express capability of a root port with a slot (PCI Express Base 5.0, section 7.5.3).
 *
 * @module
 */

export const PCI_CAP_ID_EXPRESS = 0x10;

/** Offsets in the capability. */
export const EXPRESS = {
  CAPABILITIES: 0x02,
  DEVICE_CAPABILITIES: 0x04,
  DEVICE_CONTROL: 0x08,
  LINK_CAPABILITIES: 0x0C,
  LINK_CONTROL: 0x10,
  LINK_STATUS: 0x12,
  SLOT_CAPABILITIES: 0x14,
  SLOT_CONTROL: 0x18,
  SLOT_STATUS: 0x1A,
  ROOT_CONTROL: 0x1C,
  LINK_CAPABILITIES_2: 0x2C,
  LINK_CONTROL_2: 0x30,
  LENGTH: 0x3C,
} as const;

/** Section 7.5.3.10. */
export const SLOT_CONTROL = {
  ATTENTION_BUTTON_ENABLE: 1 << 0,
  PRESENCE_ENABLE: 1 << 3,
  INTERRUPT_ENABLE: 1 << 5,
  /** Two bits: {@linkcode INDICATOR}. */
  POWER_INDICATOR: 3 << 8,
  POWER_OFF: 1 << 10,
  LINK_ENABLE: 1 << 12,
} as const;

/** What the power indicator shows. */
export const INDICATOR = { ON: 1 << 8, BLINK: 2 << 8, OFF: 3 << 8 } as const;

/** Section 7.5.3.11; those above PRESENT are written with 1 to be cleared. */
export const SLOT_STATUS = {
  ATTENTION_BUTTON: 1 << 0,
  PRESENCE_CHANGED: 1 << 3,
  PRESENT: 1 << 6,
  LINK_CHANGED: 1 << 8,
} as const;

/** Section 7.5.3.8. */
export const LINK_ACTIVE = 1 << 13;

/** Section 7.5.3.2: version 2, a root port, with a slot. */
const ROOT_PORT_WITH_SLOT = 2 | 4 << 4 | 1 << 8;
/** Section 7.5.3.3: role-based error reporting, which is not optional. */
const ROLE_BASED_ERRORS = 1 << 15;
/** 16 GT/s, 16 lanes: a link that is never the bottleneck. */
const SPEED_16GT = 4;
const SPEEDS_UP_TO_16GT = 0b11110;
const WIDTH_16 = 16 << 4;
const LINK_ACTIVE_REPORTING = 1 << 20;

/**
 * Section 7.5.3.9: attention button, power controller, power indicator, surprise removal, hot-plug;
 * and no command takes time, so that none has to be reported as completed.
 */
const SLOT_FEATURES = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 18;

const SLOT_CONTROL_WRITABLE = Object.values(SLOT_CONTROL).reduce((all, bits) => all | bits, 0);

/** The capability's bytes, and what of them the guest may write; `number` is the slot's. */
export function expressCapability(number: number): { bytes: Uint8Array; writable: Uint8Array } {
  const bytes = new Uint8Array(EXPRESS.LENGTH);
  const writable = new Uint8Array(EXPRESS.LENGTH);
  const [b, w] = [new DataView(bytes.buffer), new DataView(writable.buffer)];
  b.setUint8(0, PCI_CAP_ID_EXPRESS);
  b.setUint16(EXPRESS.CAPABILITIES, ROOT_PORT_WITH_SLOT, true);
  b.setUint32(EXPRESS.DEVICE_CAPABILITIES, ROLE_BASED_ERRORS, true);
  w.setUint16(EXPRESS.DEVICE_CONTROL, 0x7FFF, true);
  b.setUint32(
    EXPRESS.LINK_CAPABILITIES,
    SPEED_16GT | WIDTH_16 | LINK_ACTIVE_REPORTING | number << 24,
    true,
  );
  // Power management of the link, common clock, extended synch: remembered, and of no effect.
  w.setUint16(EXPRESS.LINK_CONTROL, 0x00C3, true);
  b.setUint16(EXPRESS.LINK_STATUS, SPEED_16GT | WIDTH_16, true);
  b.setUint32(EXPRESS.SLOT_CAPABILITIES, SLOT_FEATURES | number << 19, true);
  b.setUint16(EXPRESS.SLOT_CONTROL, SLOT_CONTROL.POWER_OFF | INDICATOR.OFF, true);
  w.setUint16(EXPRESS.SLOT_CONTROL, SLOT_CONTROL_WRITABLE, true);
  w.setUint16(EXPRESS.ROOT_CONTROL, 0x000F, true);
  b.setUint32(EXPRESS.LINK_CAPABILITIES_2, SPEEDS_UP_TO_16GT, true);
  b.setUint16(EXPRESS.LINK_CONTROL_2, SPEED_16GT, true);
  w.setUint16(EXPRESS.LINK_CONTROL_2, 0x000F, true);
  return { bytes, writable };
}
