/**
 * What a driver and a console device say to each other (virtio 1.2, section 5.3).
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";

/** Section 5.3.3. */
export const VIRTIO_CONSOLE_F = { SIZE: 0, MULTIPORT: 1 } as const;

/** Section 5.3.6.2: what a control message is about. */
export const VIRTIO_CONSOLE = {
  DEVICE_READY: 0,
  PORT_ADD: 1,
  PORT_REMOVE: 2,
  PORT_READY: 3,
  CONSOLE_PORT: 4,
  RESIZE: 5,
  PORT_OPEN: 6,
  PORT_NAME: 7,
} as const;

/** Section 5.3.4. */
export const ConsoleConfig = struct("virtio_console_config", {
  cols: "u16",
  rows: "u16",
  max_nr_ports: "u32",
  emerg_wr: "u32",
});

export const ConsoleControl = struct("virtio_console_control", {
  id: "u32",
  event: "u16",
  value: "u16",
});

/** Section 5.3.2: port 0 has the first two queues, the control queues follow, then all other ports'. */
export const CONTROL_RX = 2;
export const CONTROL_TX = 3;

export function receiveQueue(port: number): number {
  return port === 0 ? 0 : 2 * port + 2;
}

export function transmitQueue(port: number): number {
  return receiveQueue(port) + 1;
}

/** The port that the data queue `index` belongs to. */
export function portOfQueue(index: number): number {
  return index < 2 ? 0 : (index >> 1) - 1;
}
