const nonces = new WeakMap<Response, string>();

/** Unguessable, and new for every page. */
export function makeNonce(): string {
  return btoa(
    String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18))),
  );
}

/** Remembers which nonce a page's inline scripts and styles carry. */
export function setNonce(response: Response, nonce: string): Response {
  nonces.set(response, nonce);
  return response;
}

export function nonceOf(response: Response): string | null {
  return nonces.get(response) ?? null;
}
