import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { pathOf } from "../api/client.ts";
import { API_BASE, type Operation, type Route, ROUTES } from "../api/routes.ts";
import { match } from "./router.ts";

Deno.test("every route is found by its own method and path, with its parameters", () => {
  const segment = fc.string({ minLength: 1, unit: "grapheme" })
    .filter((text) => text.isWellFormed() && encodeURIComponent(text).length < 200);
  for (const [operation, route] of Object.entries(ROUTES) as [Operation, Route][]) {
    const names = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => name);
    const params = fc.record(Object.fromEntries(names.map((name) => [name, segment])));
    fc.assert(fc.property(params, (params) => {
      const found = match(route.method, pathOf(operation, params as never));
      assert(found !== null && "operation" in found);
      assertEquals(found.operation, operation);
      assertEquals({ ...found.params }, { ...params });
    }));
  }
});

Deno.test("a path that exists with other methods tells which", () => {
  assertEquals(match("PUT", `${API_BASE}/guests`), { allow: ["GET", "HEAD", "POST"] });
  assertEquals(match("GET", `${API_BASE}/setup`), { allow: ["DELETE", "POST"] });
  assertEquals(match("HEAD", `${API_BASE}/events`), { allow: ["GET"] });
});

Deno.test("HEAD is found where GET is", () => {
  assertEquals(match("HEAD", `${API_BASE}/host`), { operation: "getHost", params: {} });
});

Deno.test("no path throws, and none outside the API is found", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.string(), (path, method) => {
    const found = match(method, path);
    assert(found === null || path.startsWith(API_BASE));
  }));
  for (const path of ["", "/", "/api", "/api/v1", "/api/v1/guests/", "/api/v1//guests", "/%ff"]) {
    assertEquals(match("GET", path), null, path);
  }
});
