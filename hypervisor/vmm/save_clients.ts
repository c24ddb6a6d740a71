/**
 * Connections that asked for a save or a fork (control.ts), and what comes and goes on them.
 *
 * @module
 */
import type { ForkMessage, SaveMessage } from "./control.ts";
import type { ControlClient } from "./control_client.ts";
import type { Guest } from "./guest.ts";

/** What a client waits for, and may give up. */
interface Standstill {
  go(): void;
  cancel(reason: string): void;
}

const MAX_LINE_BYTES = 1024;

export class SaveClients {
  readonly #saves = new Map<ControlClient, Standstill>();

  /** Begins a save; what it says follows the response. Throws where it cannot be. */
  begin(
    client: ControlClient,
    guest: Guest,
    request: { directory: string; hold?: boolean; stay?: boolean },
  ): void {
    const say = (message: SaveMessage) => client.answer(message);
    const save = guest.save(request, {
      progress: (saving) => say({ saving }),
      held: () => say({ held: true }),
      done: (error) => {
        this.#saves.delete(client);
        say(error === undefined ? { saved: request.directory } : { error: error.message });
        client.end();
      },
    });
    this.#saves.set(client, save);
  }

  /** Begins a fork, likewise. */
  beginFork(client: ControlClient, guest: Guest, request: { hold?: boolean }): void {
    const say = (message: ForkMessage) => client.answer(message);
    const fork = guest.fork(request, {
      held: () => say({ held: true }),
      done: (source) => {
        this.#saves.delete(client);
        if (source instanceof Error) say({ error: source.message });
        else {
          const { stateFd, memoryFd, ...forked } = source;
          client.answerWith({ forked } satisfies ForkMessage, [stateFd, memoryFd]);
        }
        client.end();
      },
    });
    this.#saves.set(client, fork);
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
