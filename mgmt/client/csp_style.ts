/**
 * Lets xterm.js style what it draws under a policy that forbids inline styles: its style elements get
 * the page's nonce, and style attributes are set through the object model, which is allowed.
 *
 * @module
 */

function pageNonce(): string {
  return document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";
}

/** Runs `create`; style elements that it creates carry the page's nonce. */
export function withNonce(create: () => void): void {
  const original = document.createElement;
  const nonce = pageNonce();
  document.createElement = ((name: string, options?: ElementCreationOptions) => {
    const element = original.call(document, name, options);
    if (element instanceof HTMLStyleElement) element.nonce = nonce;
    return element;
  }) as typeof document.createElement;
  try {
    create();
  } finally {
    document.createElement = original;
  }
}

let isPatched = false;

/** `setAttribute("style", text)` counts as inline; the same text through `style.cssText` does not. */
export function allowStyleAttributes(): void {
  if (isPatched) return;
  isPatched = true;
  const original = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (name === "style" && this instanceof HTMLElement) this.style.cssText = value;
    else original.call(this, name, value);
  };
}
