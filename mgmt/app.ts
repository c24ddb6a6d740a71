/**
 * The console's pages.
 *
 * @module
 */
import { App, csp, staticFiles } from "fresh";
import { errorPages } from "./server/error_pages.tsx";
import { requireSession } from "./server/require_session.ts";
import type { State } from "./server/state.ts";
import { readTheme } from "./server/theme.ts";

export const app: App<State> = new App<State>()
  .use(csp({
    useNonce: true,
    csp: [
      "default-src 'none'",
      "script-src 'self' 'unsafe-inline'",
      "style-src 'self' 'unsafe-inline'",
      "img-src 'self' data:",
      "worker-src 'none'",
      "media-src 'none'",
      "manifest-src 'self'",
      "base-uri 'none'",
    ],
  }))
  .use(readTheme)
  .use(errorPages)
  .use(staticFiles())
  .use(requireSession)
  .fsRoutes();
