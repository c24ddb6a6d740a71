/**
 * Tells a guest's neighbours that it goes on here, several times: the first may be lost where a switch's
 * port has just come up.
 *
 * @module
 */
import type { VirtioDevice } from "../devices/virtio/device.ts";

/** When, in milliseconds from now. */
export const ANNOUNCED_AT_MS = [0, 50, 200, 450, 800];

/** `devices` are those that there are at the moment; none once it does not matter any more. */
export function announce(
  devices: () => Iterable<VirtioDevice>,
  after: (ms: number, action: () => void) => void,
): void {
  ANNOUNCED_AT_MS.forEach((ms, i) =>
    after(ms, () => {
      for (const device of devices()) device.announce?.({ first: i === 0 });
    })
  );
}
