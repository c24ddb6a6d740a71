/**
 * Where a bridge stands among the host's.
 *
 * @module
 */

/**
 * The index of the bridge of a name, behind all others for one that is new. So is one that was there
 * only while it was tried, if that ended while its form was open: no other's place may be taken.
 */
export function bridgePlace(bridges: readonly { name: string }[], name?: string): number {
  const index = bridges.findIndex((it) => it.name === name);
  return index === -1 ? bridges.length : index;
}
