import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import * as esbuild from "esbuild";
import { denoPlugin } from "./mod.ts";
import { mapSpecifier, type Project, splitPackage } from "./_project.ts";

const project: Project = {
  root: "/p",
  imports: {
    "fresh": "jsr:@fresh/core@^2.3.0",
    "preact": "npm:preact@^10.29.0",
    "preact/debug": "npm:other@1",
    "local/": "./src/",
  },
  links: new Map([[
    "@fresh/core",
    { dir: "/p/jsr/fresh", exports: { ".": "./mod.ts", "./dev": "./dev.ts" } },
  ]]),
};

Deno.test("a specifier leads where deno.json says", () => {
  const cases: [string, string][] = [
    ["fresh", "/p/jsr/fresh/mod.ts"],
    ["fresh/dev", "/p/jsr/fresh/dev.ts"],
    ["jsr:@fresh/core@2/dev", "/p/jsr/fresh/dev.ts"],
    ["local/a.ts", "/p/src/a.ts"],
    ["file:///x/y.ts", "/x/y.ts"],
  ];
  for (const [specifier, path] of cases) {
    const mapped = mapSpecifier(project, specifier);
    assertEquals(mapped, { kind: "file", path });
  }
  assertEquals(mapSpecifier(project, "fs"), { kind: "builtin", specifier: "node:fs" });
  assertEquals(mapSpecifier(project, "preact/hooks"), {
    kind: "package",
    specifier: "preact/hooks",
    from: "/p",
  });
  assertEquals(mapSpecifier(project, "preact/debug"), {
    kind: "package",
    specifier: "other",
    from: "/p",
  });
});

Deno.test("an unknown package or export is refused by name", () => {
  assertThrows(() => mapSpecifier(project, "jsr:@x/y"), Error, "@x/y");
  assertThrows(() => mapSpecifier(project, "fresh/nope"), Error, "exports only ., ./dev");
});

Deno.test("a package's name is told from its version and path", () => {
  assertEquals(splitPackage("@a/b@^1.2.3/c/d"), { name: "@a/b", subpath: "/c/d" });
  assertEquals(splitPackage("a@1"), { name: "a", subpath: "" });
  assertThrows(() => splitPackage("/"), TypeError);
});

Deno.test({
  name: "a bundle holds what it imports through deno.json",
  // esbuild keeps one service process for all builds until stop().
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    try {
      const { outputFiles } = await esbuild.build({
        stdin: {
          contents: `import { encodeHex } from "@std/encoding"; console.log(encodeHex("a"));`,
          resolveDir: import.meta.dirname!,
          loader: "ts",
        },
        bundle: true,
        write: false,
        format: "esm",
        plugins: [denoPlugin({ configPath: new URL("../../deno.json", import.meta.url).pathname })],
        absWorkingDir: import.meta.dirname!,
      });
      const text = outputFiles[0].text;
      assertStringIncludes(text, "function encodeHex");
      assertEquals(/^import /m.test(text), false);
    } finally {
      await esbuild.stop();
    }
  },
});
