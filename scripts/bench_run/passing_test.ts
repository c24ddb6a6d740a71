import { assertEquals, assertRejects } from "@std/assert";
import { pass } from "./passing.ts";

/** Answers each connection with what it was sent, in capitals, and hangs up. */
function shouting(): Deno.TcpListener {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async () => {
    for await (const connection of listener) {
      const bytes = new Uint8Array(64);
      const count = await connection.read(bytes) ?? 0;
      const said = new TextDecoder().decode(bytes.subarray(0, count));
      await connection.write(new TextEncoder().encode(said.toUpperCase()));
      connection.close();
    }
  };
  void serve();
  return listener;
}

Deno.test("connections pass both ways, one after the other and at once, until that is over", async () => {
  using end = shouting();
  const folder = await Deno.makeTempDir({ prefix: "passing-" });
  const path = `${folder}/socket`;
  const said = async (text: string) => {
    using connection = await Deno.connect({ transport: "unix", path });
    await connection.write(new TextEncoder().encode(text));
    return await new Response(connection.readable).text();
  };
  {
    using _passing = pass({ path }, { hostname: "127.0.0.1", port: end.addr.port });
    assertEquals(await said("one"), "ONE");
    assertEquals(await Promise.all([said("two"), said("three")]), ["TWO", "THREE"]);
  }
  await assertRejects(() => said("four"));
  await Deno.remove(folder, { recursive: true });
});
