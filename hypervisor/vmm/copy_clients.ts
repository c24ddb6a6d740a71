/**
 * Connections that asked for a guest to be saved, sent, forked or upgraded (control.ts), and what comes and goes on
 * them.
 *
 * @module
 */
import type {
  ForkMessage,
  ForkRequest,
  SaveMessage,
  SaveRequest,
  SendMessage,
  SendRequest,
  UpgradeMessage,
  UpgradeRequest,
} from "./control.ts";
import type { ControlClient } from "./control_client.ts";
import type { Fork } from "./fork/fork.ts";
import type { Guest } from "./guest.ts";
import type { Send } from "./migrate/send.ts";
import type { Save } from "./snapshot/save.ts";
import type { Upgrade } from "./upgrade/give.ts";

const MAX_LINE_BYTES = 1024;

export class CopyClients {
  readonly #copies = new Map<ControlClient, Save | Send | Fork | Upgrade>();

  /** Begins a save; what it says follows the response. Throws where it cannot be. */
  save(client: ControlClient, guest: Guest, request: SaveRequest): void {
    const say = (message: SaveMessage) => client.answer(message);
    const save = guest.save(request, {
      progress: (saving) => say({ saving }),
      ready: () => say({ ready: true }),
      held: () => say({ held: true }),
      done: (error, figures) => {
        this.#copies.delete(client);
        const saved = { saved: request.directory, ...figures };
        say(error === undefined ? saved : { error: error.message });
        client.end();
      },
    });
    this.#copies.set(client, save);
  }

  /** Begins to send; `record` is the file in which it is written down that the guest is given away. */
  send(
    client: ControlClient,
    guest: Guest,
    { record, ...request }: SendRequest & { record: string },
  ): void {
    const say = (message: SendMessage) => client.answer(message);
    const send = guest.send({ ...request, record }, {
      progress: (sending) => say({ sending }),
      held: () => say({ held: true }),
      done: (error, { handOver, ...figures }) => {
        this.#copies.delete(client);
        say(error === undefined ? { sent: handOver, ...figures } : { error: error.message });
        client.end();
      },
    });
    this.#copies.set(client, send);
  }

  /** Begins a fork; its descriptors come with the last line. */
  fork(client: ControlClient, guest: Guest, request: ForkRequest): void {
    const say = (message: ForkMessage) => client.answer(message);
    const fork = guest.fork(request, {
      held: () => say({ held: true }),
      done: (source) => {
        this.#copies.delete(client);
        if (source instanceof Error) say({ error: source.message });
        else {
          const { stateFd, memoryFd, ...forked } = source;
          client.answerWith({ forked } satisfies ForkMessage, [stateFd, memoryFd]);
        }
        client.end();
      },
    });
    this.#copies.set(client, fork);
  }

  /** Begins to hand the guest over; `serial` is what its serial port has sent last. */
  upgrade(
    client: ControlClient,
    guest: Guest,
    { socket, serial }: UpgradeRequest & { serial: () => Uint8Array<ArrayBuffer> },
  ): void {
    const say = (message: UpgradeMessage) => client.answer(message);
    const upgrade = guest.upgrade({ socket, serial }, {
      progress: (upgrading) => say({ upgrading }),
      done: (error, { handOver, ...figures }) => {
        this.#copies.delete(client);
        say(error === undefined ? { upgraded: handOver, ...figures } : { error: error.message });
        client.end();
      },
    });
    this.#copies.set(client, upgrade);
  }

  has(client: ControlClient): boolean {
    return this.#copies.has(client);
  }

  /** What the client says after its request; how many of the bytes were taken. */
  received(client: ControlClient, bytes: Uint8Array): number {
    const end = bytes.indexOf(0x0A);
    if (end < 0) {
      if (bytes.length > MAX_LINE_BYTES) this.#cancel(client, "its caller is not understood");
      return 0;
    }
    if (isGo(new TextDecoder().decode(bytes.slice(0, end)))) this.#copies.get(client)?.go();
    else this.#cancel(client, "its caller is not understood");
    return end + 1;
  }

  /** Nobody is there any more who wants it. */
  closed(client: ControlClient): void {
    this.#cancel(client, "its caller has gone");
  }

  #cancel(client: ControlClient, reason: string): void {
    const copy = this.#copies.get(client);
    this.#copies.delete(client);
    copy?.cancel(reason);
  }
}

function isGo(line: string): boolean {
  try {
    return JSON.parse(line)?.op === "go";
  } catch {
    return false;
  }
}
