/**
 * Where the log is sent, as the settings write it: `logs.example`, `udp://192.0.2.1:5140`,
 * `tcp://[2001:db8::1]`.
 *
 * @module
 */

export interface SyslogTarget {
  protocol: "udp" | "tcp";
  /** A name or an IP address, without brackets. */
  host: string;
  port: number;
}

/** RFC 5426 has it for UDP; for TCP without TLS, receivers use the same. */
const PORT = 514;

const FORM =
  /^(?:(udp|tcp):\/\/)?(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f.]{0,15}){2,8})|([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?))(?::([1-9][0-9]{0,4}))?$/;

/** The target that a text means; null for none. An IPv6 address with a port stands in brackets. */
export function parseSyslogTarget(text: string): SyslogTarget | null {
  const match = FORM.exec(text);
  if (match === null) return null;
  const [, protocol = "udp", bracketed, bare, name, digits] = match;
  const port = digits === undefined ? PORT : Number(digits);
  if (port > 65535 || (bare !== undefined && digits !== undefined)) return null;
  return { protocol: protocol as "udp" | "tcp", host: bracketed ?? bare ?? name, port };
}
