/** What the driver configured for one queue, as the transport read it once at DRIVER_OK. */
export interface QueueSetup {
  readonly index: number;
  /** Entries. */
  readonly size: number;
  /** Guest physical addresses; not yet checked against RAM. */
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}
