/**
 * A guest's serial port as a WebSocket: binary messages both ways, the replay first.
 *
 * @module
 */
import type { Control } from "../lives/control_client.ts";
import { problem } from "../problem.ts";

/** Output that the browser has not taken yet; beyond it the guest's VMM has to wait. */
const HIGH_WATER_BYTES = 1024 * 1024;
const DRAIN_POLL_MS = 20;
/** Input is typed by people, or pasted. */
const LONGEST_INPUT_BYTES = 1024 * 1024;
/** The guest's VMM is gone, as a close code. */
const CLOSE_ENDED = 4000;
const CLOSE_SIGNED_OUT = 4001;
const CLOSE_TOO_MUCH = 1009;

/** Takes the request over; `serial` is closed with the socket. */
export function bridgeConsole(
  request: Request,
  openSerial: () => Promise<Control>,
  ended: AbortSignal[],
): Promise<Response> {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    throw problem("not_a_websocket", "Cannot open a console: this path is for WebSockets", {
      headers: { upgrade: "websocket" },
    });
  }
  return openSerial().then((serial) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.binaryType = "arraybuffer";
    const signal = AbortSignal.any(ended);
    const signOut = () => socket.close(CLOSE_SIGNED_OUT, "signed out");
    const input = new SerialInput(serial.connection);
    socket.onopen = () => {
      signal.addEventListener("abort", signOut);
      if (signal.aborted) return signOut();
      pump(serial, socket).finally(() => close(socket, CLOSE_ENDED, "the guest ended"));
    };
    socket.onmessage = ({ data }) => {
      const bytes = typeof data === "string"
        ? new TextEncoder().encode(data)
        : new Uint8Array(data);
      if (!input.push(bytes)) close(socket, CLOSE_TOO_MUCH, "the guest does not read its input");
    };
    socket.onclose = () => {
      signal.removeEventListener("abort", signOut);
      serial.close();
    };
    // A close event follows.
    socket.onerror = () => {};
    return response;
  });
}

function close(socket: WebSocket, code: number, reason: string) {
  if (socket.readyState === WebSocket.OPEN) socket.close(code, reason);
}

/** The guest's output, until either side is gone. */
async function pump(serial: Control, socket: WebSocket) {
  let bytes: Uint8Array<ArrayBuffer> | null = serial.lines.rest();
  while (bytes !== null && socket.readyState === WebSocket.OPEN) {
    if (bytes.length > 0) socket.send(bytes);
    while (socket.bufferedAmount > HIGH_WATER_BYTES && socket.readyState === WebSocket.OPEN) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    // A VMM that is killed resets the connection, which ends the console like a plain close.
    bytes = await serial.lines.read().catch(() => null);
  }
}

/** Writes input in order, and no more than the guest takes. */
class SerialInput {
  readonly #connection: Deno.Conn;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** False where too much waits already. */
  push(bytes: Uint8Array<ArrayBuffer>): boolean {
    if (this.#waiting + bytes.length > LONGEST_INPUT_BYTES) return false;
    this.#waiting += bytes.length;
    this.#last = this.#last.then(async () => {
      for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
      this.#waiting -= bytes.length;
    }).catch(() => {
      // The VMM is gone: the reading side sees that and closes the socket.
    });
    return true;
  }
}
