/**
 * A guest's prompt through its VMM's control socket: for one whose VMM has no terminal.
 *
 * @module
 */
import { ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { GUEST_LOGIN } from "../../scripts/setup/guests.ts";

export class SerialPort implements Disposable {
  readonly #connection: ControlConnection;

  constructor(connection: ControlConnection) {
    this.#connection = connection;
  }

  static async open(control: string): Promise<SerialPort> {
    const connection = await ControlConnection.open(control, { op: "serial" });
    const { ok, error } = await connection.line();
    if (!ok) throw new Error(error);
    return new SerialPort(connection);
  }

  async type(text: string): Promise<void> {
    await this.#connection.send(text);
  }

  /** Returns once the guest has written it. */
  async until(text: string): Promise<void> {
    const seen = await this.#connection.until(text);
    if (!seen.endsWith(text)) throw new Error(`The guest did not write "${text}": ${seen}`);
  }

  /** Logs in at the prompt, whenever that comes. */
  async logIn(): Promise<void> {
    await this.type("\n");
    await this.until("login: ");
    await this.type(`${GUEST_LOGIN.user}\n`);
    await this.until("assword: ");
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await this.type(`${GUEST_LOGIN.password}\n`);
    await this.until("# ");
  }

  /** Runs a command at the guest's prompt; what it printed. */
  async run(command: string): Promise<string> {
    // What was written before comes again with each connection: a mark is of one command alone. The shell
    // puts it together, so that the echo of what is typed does not match.
    const mark = crypto.randomUUID().slice(0, 8);
    await this.type(`echo BEG''IN-${mark}; ${command}; echo EN''D-${mark}:$?\n`);
    await this.#connection.until(`BEGIN-${mark}`);
    const printed = await this.#connection.until(`END-${mark}:`);
    const status = (await this.#connection.until("\n")).trim();
    const text = printed.replace(`END-${mark}:`, "").replaceAll("\r", "").trim();
    if (status !== "0") throw new Error(`"${command}" failed with ${status} in the guest: ${text}`);
    return text;
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
