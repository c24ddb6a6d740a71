import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as z from "zod";
import { GuestCreate } from "../api/schemas.ts";
import { ApiProblem } from "../problem.ts";
import { jsonDepth, MAX_BODY_BYTES, MAX_DEPTH, parseBody, readBody } from "./body.ts";

function post(body: BodyInit | null, type: string | null = "application/json") {
  const request = new Request("http://h/", { method: "POST", body });
  request.headers.delete("content-type");
  if (type !== null) request.headers.set("content-type", type);
  return request;
}

Deno.test("a valid guest is read with its defaults", async () => {
  const body = await readBody(post('{"name":"web","kernel":"k"}'), GuestCreate);
  assertEquals(body, {
    name: "web",
    kernel: "k",
    cpus: 1,
    memoryMiB: 512,
    initrd: null,
    cmdline: "console=ttyS0 root=/dev/vda rw",
    cpu: { model: "host", topology: null, nested: false, hyperv: false, pinning: [] },
    memory: {
      hugePages: "auto",
      mergeable: false,
      balloonMiB: 0,
      hotplugMiB: 0,
      requestedMiB: 0,
    },
    disks: [],
    nets: [{
      bridge: null,
      linkUp: true,
      mtu: null,
      queues: null,
      inPort: true,
      receiveLimit: null,
      sendLimit: null,
    }],
    hotplugPorts: 3,
    agent: true,
    cloudInit: null,
    autostart: false,
    atShutdown: null,
    startOrder: null,
  });
});

Deno.test("each wrong field is named with its path", () => {
  const text = JSON.stringify({
    name: "Web",
    cpus: 255,
    memoryMiB: 1,
    disks: [{ sizeMiB: 0, colour: "red" }],
    bogus: true,
  });
  const error = assertThrows(() => parseBody(GuestCreate, text), ApiProblem);
  assertEquals(error.status, 400);
  const paths = error.fields!.map(({ path }) => path).sort();
  assertEquals(paths, [
    "bogus",
    "cpus",
    "disks.0.colour",
    "disks.0.sizeMiB",
    "kernel",
    "memoryMiB",
    "name",
  ]);
});

Deno.test("what is wrong with a field is told in a person's words", () => {
  const messages = (body: unknown) => {
    const error = assertThrows(() => parseBody(GuestCreate, JSON.stringify(body)), ApiProblem);
    return Object.fromEntries(error.fields!.map(({ path, message }) => [path, message]));
  };
  assertEquals(messages({ cpus: "1", memoryMiB: 1, autostart: 1, disks: [{}] }), {
    name: "is missing",
    kernel: "is missing",
    cpus: "must be a whole number",
    memoryMiB: "must be at least 64",
    autostart: "must be true or false",
    "disks.0": "must name an image, or give sizeMiB for an empty disk",
  });
  const long = { name: "", kernel: "k", cpus: 9, cmdline: "x".repeat(3000), memoryMiB: 200.5 };
  assertEquals(messages(long), {
    name: "must be 1 to 63 of a-z, 0-9 and '-', and begin and end with a letter or digit",
    cpus: "must be at most 8",
    cmdline: "must have at most 2047 characters",
    memoryMiB: "must be a whole number",
  });
  assertEquals(messages([]), { "": "must be an object" });
});

Deno.test("any JSON gives a guest or a problem", () => {
  fc.assert(fc.property(fc.json(), (text) => {
    try {
      assertEquals(typeof parseBody(GuestCreate, text).name, "string");
    } catch (error) {
      assert(error instanceof ApiProblem && error.code === "invalid_body");
    }
  }));
});

Deno.test("any bytes give a value or a problem", async () => {
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
    try {
      await readBody(post(new Uint8Array(bytes)), z.unknown());
    } catch (error) {
      assert(error instanceof ApiProblem && error.code === "invalid_body");
    }
  }));
});

Deno.test("a field called __proto__ is unknown like any other", () => {
  const text = '{"name":"web","kernel":"k","__proto__":{"autostart":true}}';
  assertThrows(() => parseBody(GuestCreate, text), ApiProblem, "__proto__");
});

Deno.test("the depth of any JSON is found without building it", () => {
  const depthOf = (value: unknown): number =>
    typeof value === "object" && value !== null
      ? 1 + Math.max(0, ...Object.values(value).map(depthOf))
      : 0;
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    assertEquals(jsonDepth(JSON.stringify(value)), depthOf(value));
  }));
});

Deno.test("a body that nests too deep is refused", () => {
  const text = "[".repeat(MAX_DEPTH + 1) + "]".repeat(MAX_DEPTH + 1);
  assertThrows(() => parseBody(z.unknown(), text), ApiProblem, "nests deeper");
});

Deno.test("a body that is too long is refused, declared or not", async () => {
  const long = new Uint8Array(MAX_BODY_BYTES + 1).fill(32);
  const declared = post(long);
  declared.headers.set("content-length", String(long.length));
  assertEquals(
    (await assertRejects(() => readBody(declared, z.unknown()), ApiProblem)).status,
    413,
  );

  const PIECE = 16 * 1024;
  let pulled = 0;
  const endless = new ReadableStream({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(PIECE));
    },
  });
  const error = await assertRejects(() => readBody(post(endless), z.unknown()), ApiProblem);
  assertEquals(error.status, 413);
  assert(pulled < MAX_BODY_BYTES / PIECE + 5);
});

Deno.test("only JSON is taken for JSON", async () => {
  for (
    const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", null]
  ) {
    const error = await assertRejects(() => readBody(post("{}", type), z.unknown()), ApiProblem);
    assertEquals(error.status, 415);
  }
  assertEquals(await readBody(post("{}", "Application/JSON; charset=utf-8"), z.unknown()), {});
});

Deno.test("a body that may be left out counts as an empty object", async () => {
  assertEquals(await readBody(post(null, null), z.unknown(), { optional: true }), {});
  await assertRejects(() => readBody(post("{", null), z.unknown(), { optional: true }), ApiProblem);
});
