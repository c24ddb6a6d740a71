/** `--console`, `--port` and `--vsock` of the command line, as a configuration has them. @module */
import { ConfigError } from "./fields.ts";

/** What the flags say, where there are any. */
export function socketFlags(
  flags: { console?: string; port: string[]; vsock?: string },
): Record<string, unknown> {
  return {
    ...(flags.console === undefined ? {} : { console: consoleFlag(flags.console) }),
    ...(flags.port.length === 0 ? {} : { ports: flags.port.map(portFlag) }),
    ...(flags.vsock === undefined ? {} : { vsock: vsockFlag(flags.vsock) }),
  };
}

/** `SOCKET,key=value,...`, with the names that the configuration has for the keys. */
function parse(flag: string, text: string, keys: Record<string, string>): Record<string, unknown> {
  const [first, ...options] = text.split(",");
  const result: Record<string, unknown> = first === "" ? {} : { socket: first };
  for (const option of options) {
    const [key, value] = split(option);
    const field = keys[key];
    if (field === undefined || value === undefined) {
      const known = Object.keys(keys).map((key) => `${key}=...`).join(" or ");
      throw new ConfigError(`Cannot use ${flag} option "${option}": it must be ${known}`);
    }
    result[field] = value;
  }
  return result;
}

function split(option: string): [string, string | undefined] {
  const at = option.indexOf("=");
  return at < 0 ? [option, undefined] : [option.slice(0, at), option.slice(at + 1)];
}

/** `SOCKET[,size=80x25]` */
export function consoleFlag(text: string): unknown {
  const { size, ...rest } = parse("--console", text, { size: "size" });
  if (size === undefined) return rest;
  const [, columns, rows] = /^(\d{1,4})x(\d{1,4})$/.exec(String(size)) ?? [];
  if (columns === undefined) {
    throw new ConfigError(`Cannot use --console size "${size}": it must be such as 80x25`);
  }
  return { ...rest, columns: Number(columns), rows: Number(rows) };
}

/** `SOCKET[,name=NAME]` */
export function portFlag(text: string): unknown {
  return parse("--port", text, { name: "name" });
}

/** `SOCKET[,cid=3]`, or `,backend=vhost[,cid=3]` */
export function vsockFlag(text: string): unknown {
  const vsock = parse("--vsock", text, { cid: "cid", backend: "backend" });
  if (vsock.cid !== undefined) vsock.cid = Number(vsock.cid);
  return vsock;
}
