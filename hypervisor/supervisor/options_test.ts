import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseOptions } from "./options.ts";

const NEEDED = ["--data=/data", "--run", "/run/dv", "--vmm=/app/vmm.js"];

Deno.test("options are read with their defaults", () => {
  assertEquals(parseOptions(NEEDED), {
    data: "/data",
    run: "/run/dv",
    vmm: "/app/vmm.js",
    bridge: null,
    import: null,
    consoleUid: null,
    pool: 1,
    peers: null,
    hostSocket: null,
    pstore: null,
    passwordFile: null,
    stores: [],
  });
  assertEquals(parseOptions([...NEEDED, "--peers=8444"]).peers, { hostname: "::", port: 8444 });
  const all = parseOptions([...NEEDED, "--bridge=br0", "--import=/seeds", "--console-uid=990"]);
  assertEquals([all.bridge, all.import, all.consoleUid], ["br0", "/seeds", 990]);
});

Deno.test("what is missing, unknown or no number is told", () => {
  assertThrows(() => parseOptions(NEEDED.slice(1)), TypeError, "--data is missing");
  assertThrows(() => parseOptions([...NEEDED, "--dance"]), TypeError, '"--dance"');
  assertThrows(() => parseOptions([...NEEDED, "word"]), TypeError, '"word"');
  assertThrows(() => parseOptions([...NEEDED, "--console-uid=root"]), TypeError, "not a number");
  assertThrows(() => parseOptions([...NEEDED, "--pool=many"]), TypeError, "not a number");
  assertThrows(
    () => parseOptions([...NEEDED, "--peers=here"]),
    TypeError,
    'Cannot listen at "here"',
  );
});

Deno.test("stores have names and directories of their own", () => {
  const given = (...args: string[]) =>
    parseOptions([...NEEDED, ...args.map((it) => `--shared-store=${it}`)]).stores;
  assertEquals(given("nas=/mnt/nas/", "san=/mnt/a=b"), [
    { name: "nas", directory: "/mnt/nas" },
    { name: "san", directory: "/mnt/a=b" },
  ]);
  for (const wrong of ["nas", "=/mnt", "nas=", "Nas=/mnt", "../x=/mnt"]) {
    assertThrows(() => given(wrong), TypeError, "is not NAME=DIR");
  }
  assertThrows(() => given("nas=/a", "nas=/b"), TypeError, 'the name "nas" twice');
  assertThrows(() => given("a=/mnt", "b=/mnt/"), TypeError, 'the directory "/mnt" twice');
});

Deno.test("any arguments are options or a TypeError", () => {
  fc.assert(fc.property(fc.array(fc.string()), (args) => {
    try {
      assert(parseOptions(args).data.startsWith("/"));
    } catch (error) {
      assert(error instanceof TypeError);
    }
  }));
});
