/**
 * Having the host restart, as the supervisor asks for it.
 *
 * @module
 */
import { failed, type HostRoutes } from "../host_socket.ts";

/** Who asked is to hear of it first. */
const RESTART_MS = 500;

export function restartRoute(
  { isEnding, restart, afterMs = RESTART_MS }: {
    isEnding: () => boolean;
    restart: () => void;
    afterMs?: number;
  },
): HostRoutes {
  return {
    "POST /restart"() {
      if (isEnding()) return failed(409, "Cannot restart the host: it is ending already");
      setTimeout(() => {
        // A second time would be for who does not want to wait for guests.
        if (!isEnding()) restart();
      }, afterMs);
      return Response.json({}, { status: 202 });
    },
  };
}
