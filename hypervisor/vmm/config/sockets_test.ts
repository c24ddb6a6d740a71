import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ConfigError } from "./fields.ts";
import { consoleFlag, portFlag, vsockFlag } from "./socket_flags.ts";
import { guestConsole, ports, vsock } from "./sockets.ts";

const refuses = (parse: () => unknown, says: string) => assertThrows(parse, ConfigError, says);

Deno.test("what is left out has its default, and what is not there stays away", () => {
  assertEquals(guestConsole({ socket: "/c" }), { socket: "/c", columns: 80, rows: 25 });
  assertEquals(ports([{ socket: "/a" }]), [{ name: "org.qemu.guest_agent.0", socket: "/a" }]);
  assertEquals(vsock({ socket: "/v" }), { cid: 3, backend: "user", socket: "/v" });
  assertEquals(vsock({ backend: "vhost", cid: 77 }), { cid: 77, backend: "vhost" });
  assertEquals([guestConsole, ports, vsock].map((parse) => parse(undefined)), [
    undefined,
    undefined,
    undefined,
  ]);
});

Deno.test("ports have names of their own that can be those of files", () => {
  const many = Array.from({ length: 7 }, (_, i) => ({ name: `p${i}`, socket: `/${i}` }));
  assertEquals(ports(many.slice(1))!.length, 6);
  refuses(() => ports(many), "at most 6");
  refuses(() => ports([{ socket: "/a" }, { socket: "/b" }]), "a name of its own");
  for (const name of ["", "a/b", "..", "a b", "ä", "x".repeat(65), 7]) {
    refuses(() => ports([{ name, socket: "/a" }]), "a port's name");
  }
  refuses(() => ports([{ name: "x" }]), 'the socket of port "x"');
  refuses(() => ports([{ name: "x", socket: "/" + "s".repeat(107) }]), "at most 107 bytes");
  refuses(() => ports({}), "the ports");
});

Deno.test("a guest's cid is none of those that mean somebody else", () => {
  for (const cid of [0, 1, 2, 2 ** 32 - 1, 3.5, "3"]) {
    refuses(() => vsock({ cid, socket: "/v" }), "from 3 to 4294967294");
  }
  refuses(() => vsock({ cid: 3 }), "vsock's socket");
  refuses(() => vsock({ socket: "/v", backend: "kernel" }), "one of user, vhost");
  refuses(() => vsock({ socket: "/v", backend: "vhost" }), "AF_VSOCK");
  // The numbers of ports are put behind it.
  refuses(() => vsock({ socket: "/" + "s".repeat(96) }), "at most 96 bytes");
});

Deno.test("a window has from 1 to 1000 columns and rows", () => {
  for (const size of [0, 1001, "80"]) {
    refuses(() => guestConsole({ socket: "/c", columns: size }), "columns");
    refuses(() => guestConsole({ socket: "/c", rows: size }), "rows");
  }
});

Deno.test("the command line says the same as a configuration", () => {
  assertEquals(consoleFlag("/c,size=132x43"), { socket: "/c", columns: 132, rows: 43 });
  assertEquals(consoleFlag("/c"), { socket: "/c" });
  assertEquals(portFlag("/a,name=x=y"), { socket: "/a", name: "x=y" });
  assertEquals(vsockFlag("/v,cid=5"), { socket: "/v", cid: 5 });
  assertEquals(vsockFlag(",backend=vhost"), { backend: "vhost" });
  refuses(() => consoleFlag("/c,size=big"), "80x25");
  refuses(() => portFlag("/a,colour=red"), '--port option "colour=red"');
  refuses(() => vsock(vsockFlag("/v,cid=x")), "vsock's cid NaN");
});

Deno.test("any JSON gives what parses to itself, or a ConfigError", () => {
  const near = fc.record({
    socket: fc.oneof(fc.string(), fc.constant("/s")),
    name: fc.string(),
    columns: fc.nat(2000),
    rows: fc.nat(2000),
    cid: fc.oneof(fc.nat(), fc.double()),
    backend: fc.constantFrom("user", "vhost", "x"),
  }, { requiredKeys: [] });
  const parsers = [guestConsole, (value: unknown) => ports([value])?.[0], vsock];
  fc.assert(
    fc.property(fc.constantFrom(...parsers), fc.oneof(near, fc.jsonValue()), (parse, value) => {
      let parsed;
      try {
        parsed = parse(value);
      } catch (error) {
        assert(error instanceof ConfigError, String(error));
        return;
      }
      assertEquals(parse(parsed), parsed);
    }),
    { numRuns: 500 },
  );
});

Deno.test("any text on the command line is taken apart or refused", () => {
  fc.assert(
    fc.property(fc.constantFrom(consoleFlag, portFlag, vsockFlag), fc.string(), (parse, text) => {
      try {
        parse(text);
      } catch (error) {
        assert(error instanceof ConfigError, String(error));
      }
    }),
  );
});
