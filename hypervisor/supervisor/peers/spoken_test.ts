/** What a guest's VMM says to another is understood there, or the guest is refused before its disks go. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { oldestOf, SPOKEN } from "../../vmm/control.ts";
import { TwoHosts, whereabouts } from "../testing/two_hosts.ts";
import { MoveOffer } from "./messages.ts";
import { toldOf, whyNotSpoken } from "./spoken.ts";

const RUNS = { state: "running", hasDisks: true, hasRun: true };
const OWN = { protocol: 3, format: 2 };

Deno.test("a VMM understands another one's release and the one before", () => {
  for (const protocol of [2, 3]) {
    for (const format of [1, 2]) assertEquals(whyNotSpoken({ protocol, format }, OWN), null);
  }
  assertEquals(
    whyNotSpoken({ protocol: 4, format: 2 }, OWN),
    "its VMM speaks version 4, and those here understand 2 and 3. Bring this host to a newer release",
  );
  assertEquals(
    whyNotSpoken({ protocol: 1, format: 2 }, OWN),
    "its VMM speaks version 1, and those here understand 2 and 3. Upgrade the guest's VMM there first",
  );
  assertStringIncludes(
    whyNotSpoken({ protocol: 3, format: 3 }, OWN)!,
    "its VMM writes states of version 3, and those here understand 1 and 2",
  );
});

Deno.test("whatever a VMM speaks, it is told of, and read as it was said", () => {
  const version = fc.integer({ min: 1, max: 9 });
  const Told = MoveOffer.pick({ speaks: true });
  fc.assert(fc.property(version, version, (protocol, format) => {
    const said = JSON.stringify(toldOf({ speaks: { protocol, format } }));
    const { speaks } = Told.parse(JSON.parse(said));
    assertEquals(speaks, { protocol, format });
    const isOne = (key: keyof typeof OWN) =>
      speaks[key] <= OWN[key] && speaks[key] >= oldestOf(OWN[key]);
    assertEquals(whyNotSpoken(speaks, OWN) === null, isOne("protocol") && isOne("format"));
  }));
  assertEquals(Told.parse(toldOf({})).speaks, { protocol: 1, format: 1 });
});

Deno.test("hosts from before, which do not know the word, are not told what they take for granted", () => {
  assertEquals(toldOf({ speaks: { protocol: 1, format: 1 } }), {});
});

Deno.test("what control sockets speak there is of no matter here", () => {
  const Control = MoveOffer.pick({ control: true, speaks: true });
  for (const offer of [{}, { control: 1 }, { control: 7 }]) {
    assertEquals(Control.parse(offer).speaks, { protocol: 1, format: 1 });
  }
});

Deno.test("a guest of whose VMM nothing would be understood is refused before its disks go", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await hosts.guest("speaks-newer");
  const before = b.names("data/guests");
  const task = await hosts.end(await hosts.move(guest.id));
  assertEquals([task.state, task.doneAmount], ["failed", 0]);
  const newer = SPOKEN.protocol + 1;
  assertStringIncludes(task.error!, `Cannot take "web": its VMM speaks version ${newer}`);
  assertEquals(whereabouts(a, guest.id), RUNS);
  assertEquals(b.names("data/guests"), before);
});

Deno.test("a guest moves whose VMM is of before it said what it speaks", async () => {
  await using hosts = await TwoHosts.start();
  const guest = await hosts.guest("speaks-nothing");
  const task = await hosts.end(await hosts.move(guest.id));
  assertEquals([task.state, task.error], ["done", null]);
  assertEquals(whereabouts(hosts.b, guest.id), RUNS);
});
