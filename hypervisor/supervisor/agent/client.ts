/**
 * Speaks to the agent of a guest, by the protocol of the QEMU guest agent: JSON texts on the unix
 * socket that is the guest's port. There need not be an agent; then nothing ever answers.
 *
 * @module
 */
import * as z from "zod";
import { LineReader } from "../lives/lines.ts";
import { messageOf } from "../log.ts";
import {
  addressesOf,
  AgentCount,
  AgentFreezeStatus,
  AgentInfo,
  AgentInterfaces,
  AgentOs,
  AgentRefusal,
  MAX_REPLY_BYTES,
  parseReply,
} from "./replies.ts";

/** Answers to whoever asked before that are read past. */
const MOST_STALE_LINES = 64;
/** Ends what an agent has half read: no JSON text has this byte. */
const DELIMITER = 0xFF;
/** How the delimiter looks in a decoded text. */
const DELIMITER_TEXT = "\uFFFD";
const THAW_TRIES = 3;

export interface AgentOptions {
  /** How long each answer may take, in milliseconds. */
  limitMs: number;
}

/** A conversation with a guest's agent; a port has room for one at a time. */
export class AgentClient implements Disposable {
  readonly #connection: Deno.UnixConn;
  readonly #lines: LineReader;
  readonly #limitMs: number;

  private constructor(connection: Deno.UnixConn, { limitMs }: AgentOptions) {
    this.#connection = connection;
    this.#lines = new LineReader(connection, { longest: MAX_REPLY_BYTES });
    this.#limitMs = limitMs;
  }

  /** Resolves once the agent has answered; throws where none does. */
  static async connect(socket: string, options: AgentOptions): Promise<AgentClient> {
    const connection = await Deno.connect({ transport: "unix", path: socket });
    const client = new AgentClient(connection, options);
    try {
      await client.#within("guest-sync-delimited", () => client.#sync());
      return client;
    } catch (error) {
      client[Symbol.dispose]();
      throw error;
    }
  }

  /** After this, what comes is an answer to what is asked next. */
  async #sync() {
    const id = crypto.getRandomValues(new Uint32Array(1))[0];
    const request = { execute: "guest-sync-delimited", arguments: { id } };
    await this.#write(new Uint8Array([DELIMITER]));
    await this.#send(request);
    for (let lines = 0; lines < MOST_STALE_LINES; lines++) {
      const line = await this.#line();
      const text = line.slice(line.lastIndexOf(DELIMITER_TEXT) + 1);
      try {
        if (parseReply(z.unknown(), text, request.execute) === id) return;
      } catch {
        // An answer to somebody else, or half of one.
      }
    }
    throw new Error("Cannot speak to the guest's agent: it answers something else");
  }

  async #write(bytes: Uint8Array<ArrayBuffer>) {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  async #send(request: unknown) {
    await this.#write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
  }

  async #line(): Promise<string> {
    const line = await this.#lines.next();
    if (line === null) throw new Error("Cannot speak to the guest's agent: it hung up");
    return line;
  }

  /** What takes too long is over, and the conversation with it. */
  async #within<T>(command: string, act: () => Promise<T>): Promise<T> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      // Ends the read or write that waits on it.
      this[Symbol.dispose]();
    }, this.#limitMs);
    try {
      return await act();
    } catch (error) {
      if (!isLate) throw error;
      throw new Error(
        `Cannot ask the guest's agent for "${command}": no answer within ${this.#limitMs} ms`,
      );
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask<T>(command: string, schema: z.ZodType<T>): Promise<T> {
    return await this.#within(command, async () => {
      await this.#send({ execute: command });
      return parseReply(schema, await this.#line(), command);
    });
  }

  /** Its version, and what it can be asked for. */
  async info(): Promise<{ version: string; commands: string[] }> {
    const { version, supported_commands } = await this.#ask("guest-info", AgentInfo);
    return { version, commands: supported_commands };
  }

  /** The operating system's name, for a person; null where it does not tell. */
  async os(): Promise<string | null> {
    return await this.#ask("guest-get-osinfo", AgentOs);
  }

  /** Addresses by which the guest may be reached. */
  async addresses(): Promise<string[]> {
    return addressesOf(await this.#ask("guest-network-get-interfaces", AgentInterfaces));
  }

  /** Asks the guest to power off; who does it answers nothing. */
  async shutdown(): Promise<void> {
    await this.#within(
      "guest-shutdown",
      () => this.#send({ execute: "guest-shutdown", arguments: { mode: "powerdown" } }),
    );
  }

  /** Brings file systems to a state that a copy can begin with, and holds them there; how many. */
  async freeze(): Promise<number> {
    return await this.#ask("guest-fsfreeze-freeze", AgentCount);
  }

  /** Lets frozen file systems go on; how many there were. */
  async thaw(): Promise<number> {
    return await this.#ask("guest-fsfreeze-thaw", AgentCount);
  }

  /** Whether any are frozen. */
  async isFrozen(): Promise<boolean> {
    return await this.#ask("guest-fsfreeze-status", AgentFreezeStatus) === "frozen";
  }

  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

export interface FreezeOptions extends AgentOptions {
  /** Called with true before they are frozen, and with false once it is known that they are not. */
  frozen?: (is: boolean) => void;
}

/**
 * Runs `act` while the guest's file systems are frozen. However that goes, they are thawed after it: in
 * another conversation if this one is over, as a guest that stays frozen is lost.
 */
export async function whileFrozen<T>(
  socket: string,
  options: FreezeOptions,
  act: () => Promise<T>,
): Promise<T> {
  {
    using agent = await AgentClient.connect(socket, options);
    options.frozen?.(true);
    try {
      await agent.freeze();
    } catch (error) {
      if (error instanceof AgentRefusal) {
        // Where somebody else has frozen them already, that is why.
        options.frozen?.(await agent.isFrozen().catch(() => false));
      } else {
        // One that does not answer may have frozen them all the same.
        agent[Symbol.dispose]();
        await thawAtLast(socket, options);
      }
      throw error;
    }
  }
  try {
    return await act();
  } finally {
    await thawAtLast(socket, options);
  }
}

/** Lets frozen file systems go on, where there are any; throws where they stay frozen, or may. */
export async function thaw(agent: AgentClient): Promise<void> {
  try {
    await agent.thaw();
  } catch (error) {
    // Some guests thaw by themselves after a while, and have nothing left to thaw.
    if (!(error instanceof AgentRefusal)) throw error;
    const isFrozen = await agent.isFrozen().catch(() => true);
    if (isFrozen) throw error;
  }
}

async function thawAtLast(socket: string, options: FreezeOptions) {
  for (let tries = 1;; tries++) {
    try {
      using agent = await AgentClient.connect(socket, options);
      await thaw(agent);
      options.frozen?.(false);
      return;
    } catch (error) {
      // It has nothing to thaw, or cannot; asking again changes nothing.
      if (error instanceof AgentRefusal || tries === THAW_TRIES) {
        throw new Error(`Cannot thaw the guest's file systems: ${messageOf(error)}`, {
          cause: error,
        });
      }
    }
  }
}
