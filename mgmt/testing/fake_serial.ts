/** A serial port that echoes, and whose output is kept for those who connect later. */
export class FakeSerial {
  readonly #sockets = new Set<WebSocket>();
  #output: string;
  #line = "";
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
    this.#output = `\r\nDebian GNU/Linux 12 ${name} ttyS0\r\n\r\n${name} login: `;
  }

  attach(socket: WebSocket): void {
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#sockets.add(socket);
      socket.send(new TextEncoder().encode(this.#output));
    };
    socket.onmessage = ({ data }) => this.#type(new TextDecoder().decode(data));
    socket.onclose = () => this.#sockets.delete(socket);
    socket.onerror = () => {};
  }

  /** The guest writes. */
  print(text: string): void {
    this.#output += text;
    for (const socket of this.#sockets) {
      if (socket.readyState === WebSocket.OPEN) socket.send(new TextEncoder().encode(text));
    }
  }

  /** The guest is gone. */
  end(): void {
    for (const socket of this.#sockets) socket.close(4000, "the guest ended");
  }

  #type(text: string): void {
    for (const char of text) {
      if (char !== "\r") {
        this.#line += char;
        this.print(char);
        continue;
      }
      const line = this.#line;
      this.#line = "";
      this.print(`\r\n${line === "" ? "" : `you typed: ${line}\r\n`}${this.#name}:~# `);
    }
  }
}
