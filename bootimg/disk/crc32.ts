/**
 * The checksum of partition tables. PID 1 has its own because the runtime's Node modules need /proc,
 * which is not mounted yet when they are loaded.
 *
 * @module
 */

/** IEEE 802.3's polynomial, its bits reversed. */
const POLYNOMIAL = 0xedb88320;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? value >>> 1 ^ POLYNOMIAL : value >>> 1;
  return value;
});

/** CRC-32 as zlib and UEFI compute it. */
export function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = value >>> 8 ^ TABLE[(value ^ byte) & 0xff];
  return ~value >>> 0;
}
