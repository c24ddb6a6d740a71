import { assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { HostUpdate } from "../../hypervisor/supervisor/api/host_update.ts";
import { HostSocket } from "../host_socket.ts";
import { makeSystemDisk } from "../testing/system_disk.ts";
import { HostUpdates } from "./host_updates.ts";
import { signatureOf, updateRoutes } from "./serve.ts";
import { UpdateRefusal } from "./refusal.ts";

Deno.test("the socket tells of systems, and refuses bodies that it cannot bound", async () => {
  const folder = await Deno.makeTempDir();
  const disk = await makeSystemDisk(`${folder}/disk`);
  const updates = new HostUpdates({
    ...{ version: "1.0.0", running: "image", folder: `${folder}/host`, key: () => "", log() {} },
    find: () => Promise.resolve([disk]),
  });
  await updates.begin();
  const socket = new HostSocket(`${folder}/socket`);
  socket.add(updateRoutes(updates));
  using client = Deno.createHttpClient({
    proxy: { transport: "unix", path: `${folder}/socket` },
  });
  const ask = async (method: string, path: string, body?: BodyInit, headers = {}) => {
    const init: RequestInit & { client: Deno.HttpClient } = { client, method, body, headers };
    const response = await fetch(`http://host${path}`, init);
    return { status: response.status, answer: await response.json() };
  };
  const told = await ask("GET", "/update");
  assertEquals(HostUpdate.parse(told.answer).running, { version: "1.0.0", system: "image" });
  const refused = async (status: number, why: RegExp, ...args: Parameters<typeof ask>) => {
    const { status: is, answer } = await ask(...args);
    assertEquals(is, status, answer.message);
    assertMatch(answer.message, why);
  };
  await refused(400, /has no bytes/, "PUT", "/update", "");
  await refused(411, /size is not told/, "PUT", "/update", new Blob(["x"]).stream());
  await refused(400, /Cannot read the signature/, "PUT", "/update?signature=%25", "x");
  await refused(422, /not signed/, "PUT", "/update", "x");
  await refused(422, /Cannot read the signature/, "PUT", "/update?signature=eA", "x");
  await refused(409, /none is being taken/, "DELETE", "/update/job");
  await refused(409, /none is ready/, "DELETE", "/update/ready");
  await refused(409, /nothing to go back to/, "POST", "/update/undo");
  await socket.close();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("any text is the signature's, or an error which says why", () => {
  const of = (value: string) =>
    signatureOf(new Request(`http://x/?signature=${encodeURIComponent(value)}`));
  fc.assert(fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (text) => {
    const bytes = new TextEncoder().encode(text);
    assertEquals(of(bytes.toBase64({ alphabet: "base64url", omitPadding: true })), text);
  }));
  fc.assert(fc.property(fc.string({ unit: "binary" }), (value) => {
    try {
      of(value);
    } catch (error) {
      assertEquals(error instanceof UpdateRefusal && error.status, 400);
    }
  }));
});
