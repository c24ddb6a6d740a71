/**
 * Keys and buttons, as Linux reports them under /dev/input.
 *
 * @module
 */

/** EV_KEY: a key or a button. */
export const EV_KEY = 1;
/** The power button of the case, and of a keyboard that has one. */
export const KEY_POWER = 116;

/** struct input_event on 64-bit machines: two 8-byte times, type, code, value. */
export const INPUT_EVENT_BYTES = 24;

export interface InputEvent {
  type: number;
  code: number;
  /** For a key: 1 pressed, 0 let go, 2 held. */
  value: number;
}

/** The whole events in `bytes`. */
export function parseInputEvents(bytes: Uint8Array): InputEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const events: InputEvent[] = [];
  for (let at = 0; at + INPUT_EVENT_BYTES <= bytes.length; at += INPUT_EVENT_BYTES) {
    events.push({
      type: view.getUint16(at + 16, true),
      code: view.getUint16(at + 18, true),
      value: view.getInt32(at + 20, true),
    });
  }
  return events;
}

/**
 * Whether a device has a key, by the text of its `capabilities/key` under /sys: 64-bit words in
 * hexadecimal, the highest first.
 */
export function hasKey(capabilities: string, code: number): boolean {
  const words = capabilities.trim().split(/\s+/).reverse();
  const word = words[Math.floor(code / 64)];
  if (word === undefined || !/^[0-9a-f]{1,16}$/.test(word)) return false;
  return (BigInt(`0x${word}`) >> BigInt(code % 64) & 1n) === 1n;
}
