/**
 * Keeping an update's file on the data partition while it comes in, bounded and whole.
 *
 * @module
 */
import { MOST_SYSTEM_BYTES } from "../../hypervisor/supervisor/api/host_update.ts";
import { removeIfThere } from "../../hypervisor/supervisor/durable.ts";
import { UpdateRefusal } from "./refusal.ts";

/** A file that comes in. */
export interface Upload {
  body: ReadableStream<Uint8Array>;
  /** As its sender said. */
  bytes: number;
  signal: AbortSignal;
  onProgress: (bytes: number) => void;
}

/** Where an update lies until it is on the disks. */
export class Staging {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get efi(): string {
    return `${this.#folder}/system.efi`;
  }

  get signature(): string {
    return `${this.#folder}/system.efi.sig`;
  }

  /** Keeps the file and its signature; without a signature there is none. */
  async take(upload: Upload, signature: string | null): Promise<void> {
    const { body, bytes, signal, onProgress } = upload;
    this.clear();
    await Deno.mkdir(this.#folder, { recursive: true, mode: 0o700 });
    if (signature !== null) await Deno.writeTextFile(this.signature, signature);
    using file = await Deno.open(this.efi, { write: true, createNew: true, mode: 0o600 });
    let done = 0;
    try {
      // Also while nothing comes.
      for await (const chunk of body.pipeThrough(new TransformStream(), { signal })) {
        signal.throwIfAborted();
        done += chunk.length;
        if (done > bytes || done > MOST_SYSTEM_BYTES) {
          throw new UpdateRefusal(413, `Cannot take the update: it has over ${bytes} bytes`);
        }
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
        onProgress(done);
      }
    } catch (error) {
      if (error instanceof UpdateRefusal || signal.aborted) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new UpdateRefusal(400, `Cannot keep the update's file: ${why}`);
    }
    if (done < bytes) {
      throw new UpdateRefusal(400, `Cannot take the update: ${done} of ${bytes} bytes have come`);
    }
  }

  clear(): void {
    removeIfThere(this.#folder);
  }
}
