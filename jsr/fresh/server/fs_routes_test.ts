import { assertEquals, assertThrows } from "@std/assert";
import { patternOf, toCommands } from "./fs_routes.ts";

Deno.test("a file's path gives its URL pattern", () => {
  const cases: Record<string, string> = {
    "index": "/",
    "guests/index": "/guests",
    "guests/[id]": "/guests/:id",
    "guests/[id]/edit": "/guests/:id/edit",
    "(admin)/users": "/users",
    "docs/[...rest]": "/docs/:rest*",
    "list/[[page]]": "/list{/:page}?",
    "v[major]": "/v:major",
  };
  for (const [id, pattern] of Object.entries(cases)) assertEquals(patternOf(id), pattern, id);
});

Deno.test("what serves others comes first, then specific routes before general ones", () => {
  const component = () => null;
  const ids = ["[id]", "a/[[x]]", "a/index", "_layout", "a/[...r]", "a/_layout", "_app", "about"];
  const commands = toCommands(ids.map((id) => ({ id, mod: { default: component } })));
  assertEquals(
    commands.map((command) => `${command.kind} ${"path" in command ? command.path : ""}`),
    [
      "app ",
      "layout /",
      "layout /a",
      "route /a",
      "route /a{/:x}?",
      "route /a/:r*",
      "route /about",
      "route /:id",
    ],
  );
});

Deno.test("a route file without a page or handler is refused by its name", () => {
  assertThrows(() => toCommands([{ id: "odd", mod: {} }]), TypeError, '"odd"');
});
