import { type ComponentType, h, isValidElement, type VNode } from "preact";
import { renderToString } from "preact-render-to-string";
import { buildId } from "../build_id.ts";
import { type PageState, STATE_ID } from "../markers.ts";
import { type Context, getCache, getTree, propsOf, type Tree } from "./context.ts";
import { collect, type Collected, serializeIslands } from "./hooks.ts";
import { makeNonce, setNonce } from "./nonce.ts";
import type { LayoutConfig, RouteComponent } from "./types.ts";

/** Renders a route's component in the wrapper and layouts in force. */
export async function renderRoute<State>(
  ctx: Context<State>,
  component: RouteComponent<State>,
  init: ResponseInit,
): Promise<Response> {
  const content = await instantiate(ctx, component, () => null);
  return content instanceof Response ? content : await renderPage(ctx, content, { init });
}

/** Renders a vnode in the wrapper and layouts in force. */
export async function renderPage<State>(
  ctx: Context<State>,
  content: VNode | null,
  options: { init?: ResponseInit; config?: LayoutConfig } = {},
): Promise<Response> {
  const page = await wrap(ctx, content, {
    ...getTree(ctx),
    ...treeOf(ctx, options.config),
  });
  if (page instanceof Response) return page;
  const nonce = makeNonce();
  const html = toDocument(ctx, page, nonce);
  const headers = new Headers(options.init?.headers);
  if (!headers.has("content-type")) {
    headers.set("content-type", "text/html; charset=utf-8");
  }
  return setNonce(new Response(html, { ...options.init, headers }), nonce);
}

function treeOf<State>(
  ctx: Context<State>,
  config?: LayoutConfig,
): Partial<Tree<State>> {
  return {
    app: config?.skipAppWrapper ? null : getTree(ctx).app,
    layouts: config?.skipInheritedLayouts ? [] : getTree(ctx).layouts,
  };
}

/** Puts `content` into the layouts, from inside out, and all into the wrapper. */
async function wrap<State>(
  ctx: Context<State>,
  content: VNode | null,
  tree: Tree<State>,
): Promise<VNode | null | Response> {
  let inner = content;
  const outward = [...tree.layouts].reverse();
  if (tree.app) outward.push(tree.app);
  for (const component of outward) {
    const child = inner;
    const next = await instantiate(ctx, component, () => child);
    if (next instanceof Response) return next;
    inner = next;
  }
  return inner;
}

/** Async components run now, since rendering itself is synchronous. */
async function instantiate<State>(
  ctx: Context<State>,
  component: RouteComponent<State>,
  Component: ComponentType,
): Promise<VNode | null | Response> {
  const props = propsOf(ctx, Component);
  if (!isAsync(component)) {
    return h(component as ComponentType<typeof props>, props) as VNode;
  }
  const result = await component(props);
  if (result instanceof Response || result === null || isValidElement(result)) {
    return result;
  }
  throw new TypeError(
    `Cannot render "${component.name}": it returned no element`,
  );
}

function isAsync(
  fn: unknown,
): fn is (props: unknown) => Promise<VNode | Response> {
  return typeof fn === "function" && fn.constructor.name === "AsyncFunction";
}

function toDocument<State>(
  ctx: Context<State>,
  page: VNode | null,
  nonce: string,
): string {
  const cache = getCache(ctx);
  const { html, collected } = collect(page ?? h("html", null), {
    islands: cache?.islands ?? new Map(),
    nonce,
    render: renderToString,
  });
  const whole = /^\s*<html[\s>]/i.test(html)
    ? html
    : `<html><head><meta charset="utf-8"></head><body>${html}</body></html>`;
  return `<!DOCTYPE html>${
    insertTail(
      insertHead(whole, collected),
      clientParts(cache?.clientEntry, collected, nonce),
    )
  }`;
}

/** What `<Head>` collected goes to the end of the head; its title replaces the one that is there. */
function insertHead(html: string, { head, uses }: Collected): string {
  const preloads = [...uses.values()].map(({ file }) =>
    `<link rel="modulepreload" href="${attribute(file)}">`
  );
  const added = head + [...new Set(preloads)].join("");
  if (added === "") return html;
  const at = html.indexOf("</head>");
  if (at === -1) {
    return html.replace(
      /(<html[^>]*>)/i,
      (open) => `${open}<head>${added}</head>`,
    );
  }
  const before = head.includes("<title")
    ? html.slice(0, at).replace(/<title.*?<\/title>/s, "")
    : html.slice(0, at);
  return before + added + html.slice(at);
}

function insertTail(html: string, tail: string): string {
  const at = html.lastIndexOf("</body>");
  return at === -1 ? html + tail : html.slice(0, at) + tail + html.slice(at);
}

/** Nothing for a page without islands and without navigation by partials. */
function clientParts(
  clientEntry: string | undefined,
  collected: Collected,
  nonce: string,
): string {
  if (!clientEntry || (collected.uses.size === 0 && !collected.navigates)) {
    return collected.templates;
  }
  const state: PageState = {
    buildId: buildId(),
    modules: Object.fromEntries(
      [...collected.uses.values()].map((
        { name, file, exportName },
      ) => [name, [file, exportName]]),
    ),
    islands: serializeIslands(collected),
  };
  // "<" could end the script element or begin a comment in it.
  const text = JSON.stringify(state).replaceAll("<", "\\u003c");
  return `${collected.templates}<script type="application/json" id="${STATE_ID}">${text}</script>` +
    `<script type="module" src="${attribute(clientEntry)}" nonce="${attribute(nonce)}"></script>`;
}

function attribute(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll(
    "<",
    "&lt;",
  );
}
