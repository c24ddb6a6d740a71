/**
 * A guest's serial port over a WebSocket that comes back by itself.
 *
 * @module
 */

export type LinkState = "connecting" | "open" | "waiting" | "closed";

export interface LinkHandlers {
  /** A new connection: what comes next is the replay of the last screen. */
  onOpen(): void;
  onBytes(bytes: Uint8Array): void;
  onState(state: LinkState): void;
  /** The session is over. */
  onSignedOut(): void;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 8000;
const SIGNED_OUT = 4001;

export class TerminalLink {
  #socket: WebSocket | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #retryMs = FIRST_RETRY_MS;
  #isClosed = false;
  readonly #path: string;
  readonly #handlers: LinkHandlers;

  constructor(guestId: string, handlers: LinkHandlers) {
    this.#path = `/api/v1/guests/${guestId}/console`;
    this.#handlers = handlers;
    this.#connect();
  }

  /** Bytes that cannot be sent now are dropped, as on a cable that is not plugged in. */
  send(text: string | Uint8Array): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    // A copy, since what is sent must not lie in a larger buffer.
    this.#socket.send(
      typeof text === "string" ? new TextEncoder().encode(text) : new Uint8Array(text),
    );
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#socket?.close();
    this.#handlers.onState("closed");
  }

  #connect(): void {
    this.#handlers.onState("connecting");
    const socket = new WebSocket(`wss://${location.host}${this.#path}`);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#retryMs = FIRST_RETRY_MS;
      this.#handlers.onOpen();
      this.#handlers.onState("open");
    };
    socket.onmessage = ({ data }) => this.#handlers.onBytes(new Uint8Array(data));
    socket.onclose = ({ code }) => {
      if (this.#isClosed) return;
      if (code === SIGNED_OUT) return this.#handlers.onSignedOut();
      this.#handlers.onState("waiting");
      this.#retry = setTimeout(() => this.#connect(), this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
    };
  }
}
