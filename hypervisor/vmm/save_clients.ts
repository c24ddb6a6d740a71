/**
 * Connections that asked for a save (control.ts), and what comes and goes on them.
 *
 * @module
 */
import type { SaveMessage, SaveRequest } from "./control.ts";
import type { ControlClient } from "./control_client.ts";
import type { Guest } from "./guest.ts";
import type { Save } from "./snapshot/save.ts";

const MAX_LINE_BYTES = 1024;

export class SaveClients {
  readonly #saves = new Map<ControlClient, Save>();

  /** Begins a save; what it says follows the response. Throws where it cannot be. */
  begin(client: ControlClient, guest: Guest, request: SaveRequest): void {
    const say = (message: SaveMessage) => client.answer(message);
    const save = guest.save(request, {
      progress: (saving) => say({ saving }),
      held: () => say({ held: true }),
      done: (error, result) => {
        this.#saves.delete(client);
        const saved = { saved: request.directory, ...result };
        say(error === undefined ? saved : { error: error.message });
        client.end();
      },
    });
    this.#saves.set(client, save);
  }

  has(client: ControlClient): boolean {
    return this.#saves.has(client);
  }

  /** What the client says after its request; how many of the bytes were taken. */
  received(client: ControlClient, bytes: Uint8Array): number {
    const end = bytes.indexOf(0x0A);
    if (end < 0) {
      if (bytes.length > MAX_LINE_BYTES) this.#cancel(client, "its caller is not understood");
      return 0;
    }
    if (isGo(new TextDecoder().decode(bytes.slice(0, end)))) this.#saves.get(client)?.go();
    else this.#cancel(client, "its caller is not understood");
    return end + 1;
  }

  /** Nobody is there any more who wants it. */
  closed(client: ControlClient): void {
    this.#cancel(client, "its caller has gone");
  }

  #cancel(client: ControlClient, reason: string): void {
    const save = this.#saves.get(client);
    this.#saves.delete(client);
    save?.cancel(reason);
  }
}

function isGo(line: string): boolean {
  try {
    return JSON.parse(line)?.op === "go";
  } catch {
    return false;
  }
}
