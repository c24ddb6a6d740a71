import type { ComponentType, FunctionComponent, VNode } from "preact";
import type { BuildCache } from "./build_cache.ts";
import type { ResolvedFreshConfig } from "./config.ts";
import { renderPage } from "./render.ts";
import type { LayoutConfig, RouteComponent } from "./types.ts";
import { upgrade, type WebSocketHandlers, type WebSocketUpgradeOptions } from "./websocket.ts";

export type { WebSocketHandlers, WebSocketUpgradeOptions } from "./websocket.ts";

/** What a page, layout or app wrapper is given. */
export type PageProps<Data = unknown, State = unknown> =
  & Pick<
    Context<State>,
    | "config"
    | "url"
    | "req"
    | "params"
    | "info"
    | "state"
    | "isPartial"
    | "Component"
    | "error"
    | "route"
  >
  & { data: Data };

export type FreshContext<State = unknown> = Context<State>;

/** The wrapper and the layouts, from outside in, that a page is put into. */
export interface Tree<State> {
  app: RouteComponent<State> | null;
  layouts: RouteComponent<State>[];
}

/** What the dispatcher knows when a request comes in. */
export interface ContextInit {
  url: URL;
  info: Deno.ServeHandlerInfo;
  route: string | null;
  params: Record<string, string>;
  config: ResolvedFreshConfig;
  next: () => Promise<Response>;
  cache: BuildCache | null;
}

export let getTree: <S>(ctx: Context<S>) => Tree<S>;
export let setTree: <S>(ctx: Context<S>, tree: Tree<S>) => void;
export let setNext: <S>(ctx: Context<S>, next: () => Promise<Response>) => void;
export let getCache: <S>(ctx: Context<S>) => BuildCache | null;

/** One request on its way through middlewares to a route. */
export class Context<State> {
  readonly config: ResolvedFreshConfig;
  readonly url: URL;
  req: Request;
  readonly info: Deno.ServeHandlerInfo;
  /** The pattern that matched. */
  readonly route: string | null;
  readonly params: Record<string, string>;
  /** What middlewares and routes of this request share. */
  readonly state: State = {} as State;
  /** What the handler gave to `page()`. */
  data: unknown = undefined;
  /** What was thrown, in an error page. */
  error: unknown = null;
  /** Whether a navigation in the browser asks for the page's partials only. */
  readonly isPartial: boolean;
  /** What a layout or app wrapper renders as its content. */
  Component: FunctionComponent = () => null;

  #next: () => Promise<Response>;
  #tree: Tree<State> = { app: null, layouts: [] };
  #cache: BuildCache | null;

  static {
    getTree = (ctx) => ctx.#tree;
    setTree = (ctx, tree) => void (ctx.#tree = tree);
    setNext = (ctx, next) => void (ctx.#next = next);
    getCache = (ctx) => ctx.#cache;
  }

  constructor(req: Request, init: ContextInit) {
    this.req = req;
    this.url = init.url;
    this.info = init.info;
    this.route = init.route;
    this.params = init.params;
    this.config = init.config;
    this.isPartial = init.url.searchParams.get("fresh-partial") === "true";
    this.#next = init.next;
    this.#cache = init.cache;
  }

  /** Runs the middlewares and the route that come after this one. */
  get next(): () => Promise<Response> {
    return this.#next;
  }

  /** Sends the browser elsewhere; an address that leads to another host by "//" is kept on this one. */
  redirect(pathOrUrl: string, status = 302): Response {
    const location = pathOrUrl.startsWith("/") ? pathOrUrl.replace(/^[/\\]+/, "/") : pathOrUrl;
    return new Response(null, { status, headers: { location } });
  }

  /** A page with this content in the wrapper and layouts in force here. */
  async render(
    // deno-lint-ignore no-explicit-any
    vnode: VNode<any> | null,
    init?: ResponseInit,
    config?: LayoutConfig,
  ): Promise<Response> {
    return await renderPage(this, vnode, { init, config });
  }

  text(content: string, init?: ResponseInit): Response {
    return new Response(content, withType(init, "text/plain; charset=utf-8"));
  }

  html(content: string, init?: ResponseInit): Response {
    return new Response(content, withType(init, "text/html; charset=utf-8"));
  }

  json(content: unknown, init?: ResponseInit): Response {
    return Response.json(content, init);
  }

  /** A body that is sent as it is made. */
  stream<Chunk extends string | Uint8Array>(
    source:
      | ReadableStream<Chunk>
      | Iterable<Chunk>
      | AsyncIterable<Chunk>
      | (() => Iterable<Chunk> | AsyncIterable<Chunk>),
    init?: ResponseInit,
  ): Response {
    const chunks = typeof source === "function" ? source() : source;
    const stream = chunks instanceof ReadableStream ? chunks : ReadableStream.from(chunks);
    const encoder = new TextEncoder();
    const bytes = stream.pipeThrough(
      new TransformStream<string | Uint8Array, Uint8Array<ArrayBuffer>>({
        transform(chunk, controller) {
          controller.enqueue(
            typeof chunk === "string" ? encoder.encode(chunk) : chunk as Uint8Array<ArrayBuffer>,
          );
        },
      }),
    );
    return new Response(bytes, init);
  }

  /** Turns the request into a WebSocket. */
  upgrade(
    options?: WebSocketUpgradeOptions,
  ): { socket: WebSocket; response: Response };
  upgrade(
    handlers: WebSocketHandlers,
    options?: WebSocketUpgradeOptions,
  ): Response;
  upgrade(
    first: WebSocketHandlers | WebSocketUpgradeOptions = {},
    second: WebSocketUpgradeOptions = {},
  ): Response | { socket: WebSocket; response: Response } {
    return upgrade(this.req, first, second);
  }
}

function withType(init: ResponseInit | undefined, type: string): ResponseInit {
  const headers = new Headers(init?.headers);
  if (!headers.has("content-type")) headers.set("content-type", type);
  return { ...init, headers };
}

/** What a component gets from a context. */
export function propsOf<State>(
  ctx: Context<State>,
  Component: ComponentType,
): PageProps<unknown, State> {
  const {
    config,
    url,
    req,
    params,
    info,
    state,
    isPartial,
    error,
    route,
    data,
  } = ctx;
  return {
    config,
    url,
    req,
    params,
    info,
    state,
    isPartial,
    error,
    route,
    data,
    Component: Component as FunctionComponent,
  };
}
