import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { Network } from "../../hypervisor/supervisor/api/network_schemas.ts";
import { clip, textOf, USUAL_SIZE } from "./canvas.ts";
import type { Key, KeyName } from "./keys.ts";
import { type Effect, ITEMS, leftAlone, type MenuContext, press, type View } from "./menu.ts";
import { menuPage } from "./menu_page.ts";
import { formOf, networkOf } from "./network_form.ts";

const CONTEXT: MenuContext = {
  hostname: "lab-1",
  menu: "full",
  shell: true,
  network: Network.parse({ bridges: [{ name: "br0" }, { name: "br1", uplink: null }] }),
  trialSeconds: null,
  whyNoUndo: "there is no earlier system",
};

const name = (name: KeyName): Key => ({ name });
const type = (text: string): Key[] => [...text].map((char) => ({ char }));

function run(keys: Key[], context = CONTEXT, view: View = { kind: "host" }) {
  const effects: Effect[] = [];
  for (const key of keys) {
    const step = press(view, key, context);
    view = step.view;
    if (step.effect) effects.push(step.effect);
  }
  return { view, effects };
}

function page(view: View, context = CONTEXT): string {
  assert(view.kind !== "host");
  return clip(menuPage(view, context, USUAL_SIZE), USUAL_SIZE).map((it) => textOf(it).trimEnd())
    .join("\n");
}

/** Opens the menu and goes to an item. */
function to(item: (typeof ITEMS)[number]): Key[] {
  return [name("enter"), ...ITEMS.slice(0, ITEMS.indexOf(item)).map(() => name("down"))];
}

Deno.test("a fixed address is typed, tried, and kept or undone", () => {
  const typed = [
    ...[...to("network"), name("enter"), name("right"), name("tab")],
    ...[...type("192.0.2.7/24x"), name("backspace"), name("tab")],
    ...[...type("192.0.2.1"), name("down"), ...type("192.0.2.1, 2001:db8::53")],
  ];
  const form = run(typed).view;
  assertStringIncludes(page(form), "Address         [192.0.2.7/24");
  const { view, effects: [effect] } = run([...typed, name("enter")]);
  assertEquals(view.kind, "busy");
  assert(effect.do === "tryNetwork");
  const [main, other] = effect.network.bridges;
  assertEquals(main.ipv4, { method: "static", address: "192.0.2.7/24", gateway: "192.0.2.1" });
  assertEquals(other, CONTEXT.network!.bridges[1], "the others stay as they are");
  assertEquals(effect.network.dns, ["192.0.2.1", "2001:db8::53"]);
  const tried = { ...CONTEXT, trialSeconds: 42 };
  const trial = run([name("enter")], tried).view;
  assertStringIncludes(page(trial, tried), "undone in 42 s");
  assertEquals(run([name("enter")], tried, trial).effects, [{ do: "keepNetwork" }]);
  assertEquals(run([name("escape")], tried, trial).effects, [{ do: "undoNetwork" }]);
  assertEquals(run([name("enter")], CONTEXT, trial), { view: { kind: "host" }, effects: [] });
});

Deno.test("what cannot be an address is told in the form, and nothing is tried", () => {
  const cases: [string, string, string][] = [
    ["192.0.2.7", "", "The address must be an IPv4 address and its prefix"],
    ["192.0.2.7/24", "198.51.100.1", "The gateway must be in the network of 192.0.2.7/24"],
    ["", "", "The address must be"],
  ];
  for (const [address, gateway, words] of cases) {
    const { view, effects } = run([
      ...[...to("network"), name("enter"), name("left"), name("down"), ...type(address)],
      ...[name("down"), ...type(gateway), name("enter")],
    ]);
    assertEquals(effects, []);
    assertStringIncludes(page(view), words);
  }
});

Deno.test("a network becomes a form and the same network again", () => {
  const address = fc.record({ last: fc.integer({ min: 2, max: 254 }), dhcp: fc.boolean() });
  fc.assert(fc.property(address, ({ last, dhcp }) => {
    const network = Network.parse({
      bridges: [{
        name: "br0",
        ipv4: dhcp
          ? { method: "dhcp" }
          : { method: "static", address: `192.0.2.${last}/24`, gateway: "192.0.2.1" },
      }],
      dns: ["192.0.2.1"],
    });
    assertEquals(networkOf(network, formOf(network)), { network });
  }));
});

Deno.test("the password is reset, and the host ended, after a second key", () => {
  assertEquals(run([...to("password"), name("enter")]).effects, []);
  assertEquals(run([...to("password"), name("enter"), name("enter")]).effects, [
    { do: "resetPassword" },
  ]);
  assertEquals(run([...to("restart"), name("enter"), name("escape")]).view, {
    kind: "menu",
    at: "restart",
  });
  assertEquals(run([...to("poweroff"), name("enter"), name("enter")]).effects, [
    { do: "power", command: "poweroff" },
  ]);
});

Deno.test("everything is deleted only after the host's name was typed", () => {
  const open = [...to("erase"), name("enter")];
  const wrong = run([...open, ...type("lab-2"), name("enter")]);
  assertEquals(wrong.effects, []);
  assertStringIncludes(page(wrong.view), "not the host's name");
  const right = run([...open, ...type("lab-2"), name("backspace"), ...type("1"), name("enter")]);
  assertEquals(right.effects, [{ do: "erase" }]);
});

Deno.test("an update is undone, or one allowed that is not signed, only after a second word", () => {
  const can = { ...CONTEXT, whyNoUndo: null };
  for (const item of ["undoUpdate", "allowUpdate"] as const) {
    const asked = run([...to(item), name("enter")], can);
    assertEquals([asked.view, asked.effects], [{ kind: "sure", item }, []]);
    assertEquals(run([name("escape")], can, asked.view).view, { kind: "menu", at: item });
    assertEquals(run([name("enter")], can, asked.view).effects, [{ do: item }]);
    assertStringIncludes(page(asked.view, can), item === "undoUpdate" ? "of before" : "not signed");
  }
  const locked = { ...can, menu: "power" as const };
  assertEquals(run([...to("allowUpdate"), name("enter")], locked).effects, []);
});

Deno.test("what cannot be chosen stands there with its reason", () => {
  const { view, effects } = run([...to("undoUpdate"), name("enter")]);
  assertEquals([view, effects], [{ kind: "menu", at: "undoUpdate" }, []]);
  assertStringIncludes(page(view), "Undo the last update (there is no earlier system)");
  const locked = { ...CONTEXT, shell: false };
  assertEquals(run([...to("shell"), name("enter")], locked).effects, []);
  assertStringIncludes(page({ kind: "menu", at: "shell" }, locked), "Root shell (locked by");
  assertEquals(run([...to("shell"), name("enter")]).effects, [{ do: "shell" }]);
});

const anyKey = fc.oneof(
  fc.constantFrom<Key>(
    ...(["up", "down", "left", "right", "enter", "escape", "tab", "backspace"] as KeyName[])
      .map(name),
    // A person who tries everything presses this most.
    name("enter"),
    name("down"),
  ),
  fc.constantFrom<Key>(...type("lab-1 192.0.2.7/24")),
);

Deno.test("no keys do what the settings lock, or delete anything without the name", () => {
  const menu = fc.constantFrom("full" as const, "power" as const, "none" as const);
  fc.assert(
    fc.property(fc.array(anyKey, { maxLength: 60 }), menu, fc.boolean(), (keys, menu, shell) => {
      const context = { ...CONTEXT, menu, shell, hostname: "never typed" };
      const { view, effects } = run(keys, context);
      for (const effect of effects) {
        assert(menu !== "none");
        assert(menu === "full" || effect.do === "power", effect.do);
        assert(effect.do !== "shell" || shell);
        assert(effect.do !== "erase");
      }
      if (menu === "none") assertEquals(view, { kind: "host" });
    }),
    { numRuns: 500 },
  );
});

Deno.test("whatever was pressed and whatever the host is called, the page fits and has no controls", () => {
  const size = fc.record({
    columns: fc.integer({ min: 40, max: 240 }),
    rows: fc.integer({ min: 10, max: 100 }),
  });
  const text = fc.string({ unit: "binary", maxLength: 80 });
  fc.assert(
    fc.property(fc.array(anyKey, { maxLength: 40 }), text, size, (keys, hostname, size) => {
      const context = { ...CONTEXT, hostname };
      const { view } = run(keys, context);
      if (view.kind === "host") return;
      const lines = menuPage(view, context, size);
      assertEquals(lines.length, size.rows);
      for (const it of clip(lines, size)) assert(/^[\x20-\x7e\xa0-\xff]*$/.test(textOf(it)));
    }),
    { numRuns: 300 },
  );
});

Deno.test("a menu that is left alone goes away; what is under way does not", () => {
  assertEquals(leftAlone({ kind: "menu", at: "shell" }), { kind: "host" });
  assertEquals(leftAlone({ kind: "erase", typed: "lab-", isWrong: false }), { kind: "host" });
  assertEquals(leftAlone({ kind: "trial", error: null }), { kind: "trial", error: null });
});
