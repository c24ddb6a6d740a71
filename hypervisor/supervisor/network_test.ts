import { assert, assertEquals, assertThrows } from "@std/assert";
import { interfaceExists, MAX_INTERFACE_NAME } from "../sys/tap.ts";
import { close, O_RDWR, open } from "../sys/files.ts";
import { BridgedTaps, tapName } from "./network.ts";

const GUEST = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

function hasTaps(): boolean {
  try {
    close(open("/dev/net/tun", O_RDWR));
    return true;
  } catch {
    return false;
  }
}

Deno.test("a tap's name is short enough for Linux, and tells guests of one moment apart", () => {
  assertEquals(tapName(GUEST), "dvffq69g5fav");
  assert(tapName(GUEST).length <= MAX_INTERFACE_NAME);
  const other = GUEST.slice(0, -1) + "W";
  assert(tapName(GUEST) !== tapName(other));
});

Deno.test({
  name: "a tap is made and removed, also one that an earlier run left",
  ignore: !hasTaps(),
  async fn() {
    const taps = new BridgedTaps({ bridge: null });
    const name = taps.attach(GUEST);
    try {
      assert(interfaceExists(name));
      assertEquals(taps.attach(GUEST), name);
    } finally {
      await taps.detach(GUEST);
    }
    assertEquals(interfaceExists(name), false);
    await taps.detach(GUEST);
  },
});

Deno.test("a bridge that is asked for and missing is told, and leaves no tap", () => {
  const taps = new BridgedTaps({ bridge: "dvnobridge" });
  assertThrows(() => taps.attach(GUEST), Error, 'the host has no bridge "dvnobridge"');
  assertEquals(interfaceExists(tapName(GUEST)), false);
});
