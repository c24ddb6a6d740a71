/**
 * Names of things and what they may look like.
 *
 * @module
 */
import * as z from "zod";

export const Id = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/, "must be a ULID");

export const GuestName = z.string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    "must be 1 to 63 of a-z, 0-9 and '-', and begin and end with a letter or digit",
  );

/** A disk's name among those of its guest. */
export const DiskName = z.string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/,
    "must be 1 to 32 of a-z, 0-9 and '-', and begin and end with a letter or digit",
  );

/** What a host calls storage that other hosts see too. */
export const StoreName = z.string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/,
    "must be 1 to 32 of a-z, 0-9 and '-', and begin and end with a letter or digit",
  );

/** An image's name within its kind; it is a file name on the data partition. */
export const ImageName = z.string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
    "must be 1 to 100 of A-Z, a-z, 0-9, '.', '_' and '-', and begin with a letter or digit",
  );

export const MacAddress = z.string().regex(
  /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/,
  "must be a unicast MAC address such as 52:54:00:12:34:56, in small letters",
);

/** What a system calls itself: a name, or one with its domain. */
export const HostName = z.string().max(253).regex(
  /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/,
  "must be a name such as web or web.example.org: parts of 1 to 63 of a-z, 0-9 and '-'",
);

/** A network interface of the host, as Linux lets one be called. */
export const InterfaceName = z.string().regex(
  /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,14}$/,
  "must be 1 to 15 of A-Z, a-z, 0-9, '_', '-' and '.', and not begin with '.'",
);

/** The kernel's command line: one line that the boot protocol can carry. */
export const Cmdline = z.string().max(2047)
  .regex(/^[\t\x20-\x7e]*$/, "must be one line of printable ASCII");

/** An IP address or a host name, with a port where it is not the usual one: `[fd00::1]:8443`. */
export const HostAddress = z.string().max(280).regex(
  /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(:[1-9][0-9]{0,4})?$/,
  "must be a host name or an IP address, an IPv6 one in [], with a port where needed",
);
