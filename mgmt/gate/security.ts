/**
 * Headers that every answer carries, whoever made it.
 *
 * @module
 */

/** Where nothing says otherwise, a browser that shows the answer may load and run nothing. */
const STRICTEST = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const ALWAYS: Record<string, string> = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
};

// No Strict-Transport-Security: the certificate signs itself, and a host that gets a new one would
// lock its owner out.
export function secure(response: Response): Response {
  // A WebSocket's answer is the runtime's own.
  if (response.status === 101) return response;
  const { headers } = response;
  for (const [name, value] of Object.entries(ALWAYS)) headers.set(name, value);
  const policy = headers.get("content-security-policy");
  // Inline code is allowed by nonces alone.
  headers.set("content-security-policy", policy?.replaceAll(" 'unsafe-inline'", "") ?? STRICTEST);
  if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
  return response;
}
