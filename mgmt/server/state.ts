import { createDefine } from "fresh";
import type { ApiClient } from "../../hypervisor/supervisor/api/client.ts";
import type { SessionInfo } from "../../hypervisor/supervisor/api/schemas.ts";

export type Theme = "light" | "dark" | "auto";

/** What the middlewares of {@linkcode app} find out about a request. */
export interface State {
  /** Speaks to the API with the browser's own rights. */
  api: ApiClient;
  session: SessionInfo;
  theme: Theme;
}

export const define = createDefine<State>();
