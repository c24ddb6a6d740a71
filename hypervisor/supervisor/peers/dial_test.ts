import { assertRejects } from "@std/assert";
import { makeCertificate } from "./certificate.ts";
import { connect } from "./dial.ts";
import { PeerError } from "./frames.ts";

Deno.test("who takes a connection and says nothing is no host, and hurts nobody", async () => {
  const { certificate } = await makeCertificate();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const taken = listener.accept();
  const address = { hostname: "127.0.0.1", port: listener.addr.port };
  const error = connect(address, certificate, { timeoutMs: 300 });
  await assertRejects(() => error, PeerError, "does not answer");
  (await taken).close();
});

Deno.test("nor is who hangs up, or speaks something else", async () => {
  const { certificate } = await makeCertificate();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = { hostname: "127.0.0.1", port: listener.addr.port };
  for (const words of ["", "SSH-2.0-somebody\r\n"]) {
    const served = listener.accept().then(async (connection) => {
      await connection.write(new TextEncoder().encode(words));
      connection.close();
    });
    await assertRejects(() => connect(address, certificate), PeerError, "Cannot reach the host");
    await served;
  }
});
