/**
 * A guest's console on this terminal.
 *
 * @module
 */

/** Ctrl-]. */
const ESCAPE = 0x1d;

/** Joins the terminal and the console until either ends or the escape key is pressed. */
export async function attachTerminal(socket: WebSocket): Promise<void> {
  const closed = Promise.withResolvers<void>();
  let refused = true;
  socket.onopen = () => refused = false;
  socket.onclose = () => {
    if (refused) closed.reject(new Error("Cannot open the console: the guest does not run"));
    else closed.resolve();
  };
  socket.onerror = () => {};
  const writer = Deno.stdout.writable.getWriter();
  socket.onmessage = ({ data }) => void writer.write(new Uint8Array(data));
  await new Promise<void>((resolve) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("close", () => resolve());
  });
  const raw = Deno.stdin.isTerminal() && !refused;
  if (raw) Deno.stdin.setRaw(true);
  try {
    const input = refused ? Promise.resolve() : forward(socket);
    await Promise.race([closed.promise, input.then(() => socket.close())]);
    await closed.promise;
    await writer.ready;
  } finally {
    if (raw) Deno.stdin.setRaw(false);
    writer.releaseLock();
  }
}

async function forward(socket: WebSocket) {
  const buffer = new Uint8Array(4096);
  while (true) {
    const count = await Deno.stdin.read(buffer);
    if (count === null || socket.readyState !== WebSocket.OPEN) return;
    const bytes = buffer.slice(0, count);
    const escape = Deno.stdin.isTerminal() ? bytes.indexOf(ESCAPE) : -1;
    if (escape !== 0) socket.send(escape < 0 ? bytes : bytes.subarray(0, escape));
    if (escape >= 0) return;
  }
}
