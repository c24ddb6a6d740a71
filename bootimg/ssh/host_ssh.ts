/**
 * The host's SSH: it is there for as long as there are keys that may log in.
 *
 * @module
 */
import type { HostSsh as Told } from "../../hypervisor/supervisor/api/ssh_schemas.ts";
import { authorizedKeys, fingerprintOf } from "./authorized_keys.ts";

/** What SSH stands on. */
export interface SshGround {
  /** Puts the file of who may log in in place of the one that is there; it is read at each log-in. */
  writeKeys(text: string): void;
  /** The host's public key; made and kept where there is none yet. */
  hostKey(): Promise<string>;
  /** Has the server run, and run again when it ends; returns how it is stopped. */
  start(): () => Promise<void>;
  /** Ends what those who are logged in do. */
  endSessions(): void;
}

export interface HostSshOptions {
  ground: SshGround;
  /** Writes down what is to hold; returns once it is on the disk. */
  keep: (keys: string[]) => void;
  log: (text: string) => void;
  onProblem: (problem: string | null) => void;
}

/** A change that could not be kept. */
export class SshRefusal extends Error {
  override readonly name = "SshRefusal";
}

export class HostSsh {
  readonly #options: HostSshOptions;
  #keys: readonly string[] = [];
  #hostKey: string | null = null;
  #stop: (() => Promise<void>) | null = null;
  #problem: string | null = null;
  /** One change after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: HostSshOptions) {
    this.#options = options;
  }

  async tell(): Promise<Told> {
    const withPrint = async (key: string) => ({ key, fingerprint: await fingerprintOf(key) });
    return {
      isOn: this.#stop !== null,
      keys: await Promise.all(this.#keys.map(withPrint)),
      hostKey: this.#hostKey === null ? null : await withPrint(this.#hostKey),
      problem: this.#problem,
    };
  }

  /** Takes up the keys that are kept. */
  async begin(keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.#inTurn(() => this.#apply(keys));
  }

  /** Keeps other keys, and has them hold at once. */
  async change(keys: readonly string[]): Promise<Told> {
    const wanted = [...new Set(keys)];
    await this.#inTurn(async () => {
      try {
        this.#options.keep(wanted);
      } catch (error) {
        throw new SshRefusal(
          `Cannot keep the keys: ${error instanceof Error ? error.message : error}`,
        );
      }
      await this.#apply(wanted);
    });
    return await this.tell();
  }

  async #apply(keys: readonly string[]): Promise<void> {
    const { ground, log, onProblem } = this.#options;
    const isLess = this.#keys.some((key) => !keys.includes(key));
    this.#keys = keys;
    try {
      // First of all nobody gets in any more who may not.
      ground.writeKeys(authorizedKeys(keys));
      if (keys.length > 0 && this.#stop === null) {
        this.#hostKey = await ground.hostKey();
        this.#stop = ground.start();
      } else if (keys.length === 0 && this.#stop !== null) {
        const stop = this.#stop;
        this.#stop = null;
        await stop();
      }
      this.#problem = null;
    } catch (error) {
      this.#problem = `Cannot ${keys.length > 0 ? "offer" : "end"} SSH: ${
        error instanceof Error ? error.message : error
      }`;
    }
    // Whoever was let in by a key that was taken away is not to stay.
    if (isLess) ground.endSessions();
    onProblem(this.#problem);
    if (this.#problem !== null) return;
    const count = keys.length === 1 ? "1 key" : `${keys.length} keys`;
    log(keys.length === 0 ? "SSH is off" : `SSH is on, for ${count}`);
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(act);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}
