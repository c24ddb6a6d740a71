import { assert, assertFalse } from "@std/assert";
import { drain, eventfd, isSignalled, signal } from "./eventfd.ts";
import { close } from "./files.ts";

Deno.test("a counter is signalled from its first signal until it is drained, once", () => {
  const fd = eventfd();
  assertFalse(isSignalled(fd));
  assertFalse(drain(fd));
  signal(fd);
  signal(fd);
  assert(isSignalled(fd));
  assert(isSignalled(fd), "looking does not drain");
  assert(drain(fd));
  assertFalse(isSignalled(fd));
  assertFalse(drain(fd));
  close(fd);
});

Deno.test("a descriptor that is closed is not signalled", () => {
  const fd = eventfd();
  signal(fd);
  close(fd);
  assertFalse(drain(fd));
});
