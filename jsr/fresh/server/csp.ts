import { nonceOf } from "./nonce.ts";
import type { MiddlewareFn } from "./types.ts";

export interface CSPOptions {
  /** Only reports what would be blocked. */
  reportOnly?: boolean;
  /** Where browsers report to. */
  reportTo?: string;
  /** Directives that are added, or replace the default of the same name. */
  csp?: string[];
  /** Allows inline scripts and styles by a nonce made for each page, not in general. */
  useNonce?: boolean;
}

const DEFAULTS = [
  "default-src 'self'",
  "script-src 'self' 'unsafe-inline'",
  "style-src 'self' 'unsafe-inline'",
  "font-src 'self'",
  "img-src 'self' data:",
  "media-src 'self' data: blob:",
  "worker-src 'self' blob:",
  "connect-src 'self'",
  "object-src 'none'",
  "base-uri 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "upgrade-insecure-requests",
];

/** Sets a Content-Security-Policy on what is registered after it. */
export function csp<State>(options: CSPOptions = {}): MiddlewareFn<State> {
  const own = options.csp ?? [];
  const replaced = new Set(own.map(nameOf));
  const directives = [
    ...DEFAULTS.filter((one) => !replaced.has(nameOf(one))),
    ...own,
  ];
  if (options.reportTo) {
    directives.push("report-to csp-endpoint", `report-uri ${options.reportTo}`);
  }
  const header = options.reportOnly
    ? "content-security-policy-report-only"
    : "content-security-policy";
  return async (ctx) => {
    const response = await ctx.next();
    const nonce = options.useNonce ? nonceOf(response) : null;
    const value = directives.join("; ");
    response.headers.set(
      header,
      // Without a page there is nothing inline to allow.
      options.useNonce
        ? value.replaceAll(
          / 'unsafe-inline'/g,
          nonce ? ` 'nonce-${nonce}'` : "",
        )
        : value,
    );
    if (options.reportTo) {
      response.headers.set(
        "reporting-endpoints",
        `csp-endpoint="${options.reportTo}"`,
      );
    }
    return response;
  };
}

function nameOf(directive: string): string {
  return directive.split(" ", 1)[0];
}
