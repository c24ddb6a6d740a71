/**
 * What the operations on the host's updates do, and its restart.
 *
 * @module
 */
import type { UPDATE_ROUTES } from "../api/update_routes.ts";
import type { Supervisor } from "../supervisor.ts";
import type { Handlers } from "./handlers.ts";
import { uploadOf } from "./upload.ts";

export function updateHandlers(
  supervisor: Supervisor,
): Pick<Handlers, keyof typeof UPDATE_ROUTES> {
  const { update, log } = supervisor;
  return {
    getUpdate: () => update.get(),
    putUpdate({ request, query, caller }) {
      const { body, size } = uploadOf(request);
      log("info", "taking an update in", { bytes: size, address: caller.address });
      return update.put({ body, bytes: size, signature: query.signature });
    },
    pullUpdate({ body, caller }) {
      log("info", "fetching an update", { url: body.url, address: caller.address });
      return update.pull(body.url);
    },
    cancelUpdate: () => update.cancel(),
    takeUpdateBack: () => update.takeBack(),
    undoUpdate({ caller }) {
      log("info", "undoing the last update", { address: caller.address });
      return update.undo();
    },
    restartHost({ body, caller }) {
      log("info", "restarting the host", { guests: body.guests, address: caller.address });
      return supervisor.restart(body);
    },
  };
}
