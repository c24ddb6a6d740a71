/**
 * How VMMs that pretend hand their guests to each other: all of it in one message, and a byte in return.
 *
 * @module
 */
import { join } from "@std/path";
import type { GuestConfig } from "../../vmm/control.ts";

export interface Handed {
  config: GuestConfig;
  startedAt: number;
  pausedFor: string | null;
  replay: string;
}

/** True once the other has it. */
export async function give(socket: string, handed: Handed | null): Promise<boolean> {
  using connection = await Deno.connect({ transport: "unix", path: socket });
  const bytes = new TextEncoder().encode(handed === null ? "" : JSON.stringify(handed));
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  await connection.closeWrite();
  return await connection.read(new Uint8Array(1)) !== null;
}

/** Null where the other keeps it. From then on its control socket is in the folder that it is to become. */
export async function take(
  socket: string,
  options: { folder: string; becomes: string },
): Promise<Handed | null> {
  using listener = Deno.listen({ transport: "unix", path: socket });
  using connection = await listener.accept();
  let text = "";
  const bytes = new Uint8Array(65536);
  for (let n = await connection.read(bytes); n !== null; n = await connection.read(bytes)) {
    text += new TextDecoder().decode(bytes.subarray(0, n));
  }
  if (text === "") return null;
  const { folder, becomes } = options;
  Deno.renameSync(join(folder, "control.sock"), join(becomes, "control.sock"));
  await connection.write(Uint8Array.of(1));
  return JSON.parse(text);
}
