/**
 * Passes connections on between the network and sockets of this host.
 *
 * @module
 */

/** Somewhere to listen at, or to connect to. */
export type Place = { path: string } | { hostname: string; port: number };

/** Passes what comes in at `from` to `to`, and back, until it is disposed of. */
export function pass(from: Place, to: Place): Disposable {
  const listener: Deno.Listener = "path" in from
    ? Deno.listen({ ...from, transport: "unix" })
    : Deno.listen(from);
  const open = new Set<Deno.Conn>();
  const both = async (near: Deno.Conn) => {
    const pair = [near];
    open.add(near);
    try {
      const far: Deno.Conn = "path" in to
        ? await Deno.connect({ ...to, transport: "unix" })
        : await Deno.connect(to);
      pair.push(far);
      open.add(far);
      await Promise.all([near.readable.pipeTo(far.writable), far.readable.pipeTo(near.writable)]);
    } catch {
      // Whoever is at an end tells of a connection that breaks.
    } finally {
      pair.forEach((it) => open.delete(it) && close(it));
    }
  };
  const serve = async () => {
    for await (const near of listener) void both(near);
  };
  void serve();
  return {
    [Symbol.dispose]() {
      for (const it of [listener, ...open]) close(it);
      open.clear();
    },
  };
}

function close(it: { close(): void }): void {
  try {
    it.close();
  } catch {
    // It is closed already.
  }
}
