/**
 * Follows links and submits forms without leaving the page, where `f-client-nav` allows it: fetches
 * the next page and exchanges the partials that both pages have.
 *
 * @module
 */
import { parseMarker } from "../markers.ts";
import { buildId } from "../build_id.ts";
import { closing, endIslands, hydrateIslands } from "./islands.ts";
import { Region } from "./region.ts";
import { readState } from "./state.ts";

const NAVIGATION = "f-client-nav";
const PARTIAL = "f-partial";

let pending: AbortController | null = null;

/** Listens for clicks, submissions and the browser's back and forward. */
export function followLinks(): void {
  document.addEventListener("click", onClick);
  document.addEventListener("submit", onSubmit);
  addEventListener("popstate", (event) => {
    if ((event as PopStateEvent).state?.fresh) {
      void navigate(new URL(location.href), { isHistory: true });
    }
  });
}

function allowed(element: Element): boolean {
  return element.closest(`[${NAVIGATION}]`)?.getAttribute(NAVIGATION) ===
    "true";
}

function onClick(event: MouseEvent): void {
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey &&
    !event.shiftKey &&
    !event.altKey;
  if (
    !isPlain || event.defaultPrevented || !(event.target instanceof Element)
  ) return;
  const link = event.target.closest("a");
  if (!link?.href || !allowed(link)) return;
  if (
    (link.target && link.target !== "_self") || link.hasAttribute("download")
  ) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin) return;
  // A place on this page is the browser's own business.
  const isHere = url.pathname === location.pathname &&
    url.search === location.search;
  if (isHere && url.hash !== "") return;
  event.preventDefault();
  void navigate(url, { partial: link.getAttribute(PARTIAL) });
}

function onSubmit(event: SubmitEvent): void {
  const form = event.target;
  if (
    event.defaultPrevented || !(form instanceof HTMLFormElement) ||
    !allowed(form)
  ) return;
  const button = event.submitter;
  const method = (button?.getAttribute("formmethod") ?? form.method)
    .toUpperCase();
  const action = new URL(
    button?.getAttribute("formaction") ?? form.action,
    location.href,
  );
  if (
    (method !== "GET" && method !== "POST") || action.origin !== location.origin
  ) return;
  event.preventDefault();
  const data = new FormData(form, button);
  const partial = button?.getAttribute(PARTIAL) ?? form.getAttribute(PARTIAL);
  if (method === "POST") {
    void navigate(action, { partial, body: data });
    return;
  }
  action.search = String(
    new URLSearchParams(
      [...data].map(([name, value]) => [name, String(value)]),
    ),
  );
  void navigate(action, { partial });
}

interface NavigateOptions {
  /** Another address for the content than the one that is shown. */
  partial?: string | null;
  body?: FormData;
  /** The address bar already shows `url`. */
  isHistory?: boolean;
}

async function navigate(url: URL, options: NavigateOptions): Promise<void> {
  pending?.abort();
  const { signal } = pending = new AbortController();
  try {
    const source = new URL(options.partial ?? url, location.href);
    source.searchParams.set("fresh-partial", "true");
    const response = await fetch(source, {
      signal,
      method: options.body ? "POST" : "GET",
      body: options.body,
      headers: { accept: "text/html" },
    });
    const shown = response.redirected && !options.partial ? withoutMark(response.url) : url;
    const isPage = response.headers.get("content-type")?.startsWith(
      "text/html",
    );
    const next = isPage
      ? new DOMParser().parseFromString(await response.text(), "text/html")
      : null;
    if (signal.aborted) return;
    const state = next && readState(next);
    if (!next || !state || state.buildId !== buildId()) {
      return leave(shown, options);
    }
    const exchanged = exchange(next);
    if (exchanged.length === 0) return leave(shown, options);
    if (!options.isHistory) {
      // Marks the page that is left, so that coming back to it comes here.
      if (!history.state?.fresh) history.replaceState({ fresh: true }, "");
      history.pushState({ fresh: true }, "", shown);
      if (shown.hash) {
        document.getElementById(shown.hash.slice(1))?.scrollIntoView();
      } else scrollTo(0, 0);
    }
    document.title = next.title;
    await hydrateIslands(next, { from: document.body, state });
  } catch (error) {
    if (signal.aborted) return;
    console.error(error);
    leave(url, options);
  }
}

/** What cannot be exchanged is loaded as a whole; a submission must not be sent twice. */
function leave(url: URL, options: NavigateOptions): void {
  if (options.isHistory) location.reload();
  else location.assign(url);
}

function withoutMark(href: string): URL {
  const url = new URL(href);
  url.searchParams.delete("fresh-partial");
  return url;
}

interface Place {
  mode: string;
  region: Region;
}

/** Exchanges the content of partials that both pages have; returns their names. */
function exchange(next: Document): string[] {
  const here = partialsOf(document);
  const there = partialsOf(next);
  const names = [...there.keys()].filter((name) => here.has(name));
  for (const name of names) {
    const { region } = here.get(name)!;
    const { mode, region: source } = there.get(name)!;
    const fresh = source.nodes().map((node) => document.importNode(node, true));
    if (mode === "prepend") {
      for (const node of fresh) region.insertBefore(node, region.firstChild);
      continue;
    }
    if (mode === "replace") {
      endIslands(region);
      for (const node of region.nodes()) node.remove();
    }
    for (const node of fresh) region.appendChild(node);
  }
  return names;
}

/** The outermost partials: what lies in one goes with it. */
function partialsOf(page: Document): Map<string, Place> {
  const places = new Map<string, Place>();
  const visit = (parent: Node) => {
    for (let node = parent.firstChild; node; node = node.nextSibling) {
      const marker = node instanceof Comment ? parseMarker(node.data) : null;
      if (marker?.kind !== "partial") {
        visit(node);
        continue;
      }
      const end = closing(node, "partial");
      places.set(marker.name, {
        mode: marker.mode,
        region: new Region(node as Comment, end),
      });
      node = end;
    }
  };
  visit(page.body);
  return places;
}
