import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { signal } from "@preact/signals";
import { type ComponentChildren, type ComponentType, h, type VNode } from "preact";
import { renderToString } from "preact-render-to-string";
import { asset, Head, Partial } from "../runtime.ts";
import { setBuildId } from "../build_id.ts";
import { deserialize } from "../serialize.ts";
import { collect, serializeIslands } from "./hooks.ts";

function Counter(props: { n?: unknown; children?: ComponentChildren; hidden?: boolean }) {
  return <b>{props.hidden ? null : props.children}</b>;
}

function render(vnode: VNode) {
  const islands = new Map([
    [Counter as ComponentType, { name: "Counter", exportName: "default", file: "/c.js" }],
  ]);
  return collect(vnode, { islands, nonce: "N", render: renderToString });
}

Deno.test("an island is marked, and its props are kept for the browser", () => {
  const { html, collected } = render(<p>{h(Counter, { n: 5, key: "k" })}</p>);
  assertEquals(html, "<p><!--fresh:island:0--><b></b><!--/fresh:island--></p>");
  assertEquals(deserialize(serializeIslands(collected)), [["Counter", "k", { n: 5 }]]);
});

Deno.test("an island inside an island is part of it; in its slot it is an island again", () => {
  function Outer() {
    return <Counter />;
  }
  const islands = new Map<ComponentType, { name: string; exportName: string; file: string }>([
    [Outer, { name: "Outer", exportName: "default", file: "/o.js" }],
    [Counter as ComponentType, { name: "Counter", exportName: "default", file: "/c.js" }],
  ]);
  const { html } = collect(<Outer />, { islands, nonce: "N", render: renderToString });
  assertEquals(html, "<!--fresh:island:0--><b></b><!--/fresh:island-->");

  const nested = render(
    <Counter>
      <i>
        <Counter />
      </i>
    </Counter>,
  );
  assertEquals(
    nested.html,
    "<!--fresh:island:0--><b><!--fresh:slot:0:children--><i><!--fresh:island:1--><b></b>" +
      "<!--/fresh:island--></i><!--/fresh:slot--></b><!--/fresh:island-->",
  );
});

Deno.test("a slot that its island does not show waits in a template", () => {
  const { collected } = render(
    <Counter hidden>
      <i>later</i>
    </Counter>,
  );
  assertEquals(
    collected.templates,
    '<template id="fresh-slot-0-children"><i>later</i></template>',
  );
});

Deno.test("one signal given to two islands stays one", () => {
  const shared = signal(3);
  const { collected } = render(
    <>
      <Counter n={shared} />
      <Counter n={shared} />
    </>,
  );
  const uses = deserialize(serializeIslands(collected), { Signal: (value) => ({ value }) }) as [
    string,
    unknown,
    { n: object },
  ][];
  assertEquals(uses[0][2].n, { value: 3 });
  assertEquals(uses[0][2].n === uses[1][2].n, true);
});

Deno.test("Head's children leave their place; inline scripts and styles get the nonce", () => {
  const { html, collected } = render(
    <div>
      <Head>
        <title>T</title>
        <style>{"a{}"}</style>
      </Head>
    </div>,
  );
  assertEquals(html, "<div></div>");
  assertEquals(collected.head, '<title>T</title><style nonce="N">a{}</style>');
});

Deno.test("a partial is marked once by its name", () => {
  const { html } = render(<Partial name="main">x</Partial>);
  assertEquals(html, "<!--fresh:partial:replace:main-->x<!--/fresh:partial-->");
  const twice = (
    <>
      <Partial name="main">x</Partial>
      <Partial name="main">x</Partial>
    </>
  );
  assertThrows(() => render(twice), TypeError, '"main"');
});

Deno.test("an asset's address names the build", () => {
  setBuildId("abc");
  assertEquals(asset("/a.css?x=1#y"), "/a.css?x=1&__frsh_c=abc#y");
  assertEquals(asset("https://other/a.css"), "https://other/a.css");
  assertStringIncludes(asset(asset("/a.css")), "/a.css?__frsh_c=abc");
});
