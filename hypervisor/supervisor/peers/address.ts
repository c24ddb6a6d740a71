/**
 * Where hosts listen for each other.
 *
 * @module
 */

/** Where a host listens that does not say otherwise. */
export const PEER_PORT = 8444;

export interface Address {
  hostname: string;
  port: number;
}

/** A host name or an IP address, an IPv6 one in [], with a port where it is not the usual one. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9.-]{1,253}))(?::([1-9][0-9]{0,4}))?$/
    .exec(text);
  const port = match?.[3] === undefined ? PEER_PORT : Number(match[3]);
  if (match === null || port > 65535) {
    throw new SyntaxError(`Cannot understand the address "${text}": it must be HOST or HOST:PORT`);
  }
  return { hostname: match[1] ?? match[2], port };
}

/** The shortest text that means the address. */
export function formatAddress({ hostname, port }: Address): string {
  // An IPv4 address as a socket for both kinds has it.
  const plain = hostname.replace(/^::ffff:(?=\d+\.)/i, "");
  const host = plain.includes(":") ? `[${plain}]` : plain;
  return port === PEER_PORT ? host : `${host}:${port}`;
}

/** What an option says of where to listen: `[ADDRESS:]PORT`, on all addresses where it names none. */
export function parseListenAddress(text: string): Address {
  if (/^[0-9]{1,5}$/.test(text)) {
    const port = Number(text);
    // `::` takes IPv4 too.
    if (port <= 65535) return { hostname: "::", port };
  } else if (/^([^:]+|\[.*\]):[0-9]+$/.test(text)) {
    try {
      return parseAddress(text);
    } catch {
      // It is told below.
    }
  }
  throw new TypeError(`Cannot listen at "${text}": it must be PORT or ADDRESS:PORT`);
}
