/**
 * Kernels and initrds that go along with a guest.
 *
 * @module
 */
import type { MoveGround } from "../lives/move_ground.ts";
import { sha256OfFile } from "./digests.ts";
import type { ImageOffer } from "./messages.ts";

/** The images that a start of the guest needs, as it is or was, each once. */
export async function imagesOf(
  { images }: MoveGround,
  guests: readonly { kernel: string; initrd: string | null }[],
): Promise<{ path: string; offer: ImageOffer }[]> {
  const names = (["kernel", "initrd"] as const).flatMap((kind) =>
    [...new Set(guests.map((guest) => guest[kind]))].map((name) => [kind, name] as const)
  );
  const found = names.flatMap(([kind, name]) => name === null ? [] : [{ kind, name }]);
  return await Promise.all(found.map(async ({ kind, name }) => {
    const path = images.require(kind, name);
    const bytes = images.get(kind, name)!.sizeBytes;
    return { path, offer: { kind, name, bytes, sha256: await sha256OfFile(path) } };
  }));
}
