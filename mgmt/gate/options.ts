/**
 * The console's command line.
 *
 * @module
 */
import { parseArgs } from "@std/cli";

export interface Options {
  /** The supervisor's unix socket. */
  api: string;
  /** Where certificate, key and fingerprint are kept. */
  tlsDir: string;
  /** The folder of static files that the build made. */
  assets: string;
  port: number;
  httpPort: number;
  hostname: string;
}

export const USAGE =
  `Usage: console --api SOCKET --tls-dir DIR --assets DIR [--port 443] [--http-port 80] [--hostname ::]

  --api SOCKET      the supervisor's unix socket
  --tls-dir DIR     where the certificate, its key and its fingerprint are kept
  --assets DIR      the static files that the build made
  --port N          serves HTTPS there
  --http-port N     sends browsers that come there on to HTTPS; 0 for none
  --hostname ADDR   the address to listen on`;

/** Throws a TypeError that says which option is wrong. */
export function parseOptions(args: string[]): Options {
  const parsed = parseArgs(args, {
    string: ["api", "tls-dir", "assets", "port", "http-port", "hostname"],
    default: { port: "443", "http-port": "80", hostname: "::" },
    unknown: (name) => {
      throw new TypeError(`Cannot start the console: unknown option "${name}"\n${USAGE}`);
    },
  });
  const text = (name: "api" | "tls-dir" | "assets" | "hostname"): string => {
    const value = parsed[name];
    if (typeof value === "string" && value !== "") return value;
    throw new TypeError(`Cannot start the console: --${name} is missing\n${USAGE}`);
  };
  const port = (name: "port" | "http-port"): number => {
    const value = String(parsed[name]);
    const number = Number(value);
    if (/^\d{1,5}$/.test(value) && number <= 65535) return number;
    throw new TypeError(
      `Cannot start the console: --${name} "${value}" must be a whole number from 0 to 65535`,
    );
  };
  return {
    api: text("api"),
    tlsDir: text("tls-dir"),
    assets: text("assets"),
    hostname: text("hostname"),
    port: port("port"),
    httpPort: port("http-port"),
  };
}
