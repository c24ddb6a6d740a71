/**
 * What the operations on the host's log, and on what crashed, do.
 *
 * @module
 */
import type { Supervisor } from "../supervisor.ts";
import { bundleResponse } from "../support/bundle.ts";
import { endsOf } from "./door.ts";
import type { Handlers } from "./handlers.ts";
import { followStream } from "./sse.ts";

type LogOperation =
  | "getLog"
  | "followLog"
  | "listCrashes"
  | "getCrash"
  | "deleteCrash"
  | "getSupportBundle";

export function logHandlers(
  supervisor: Supervisor,
): Pick<Handlers, LogOperation> {
  const { hostLog, crashes } = supervisor;
  return {
    getLog: ({ query }) => hostLog.read(query),
    async followLog({ query, caller }) {
      // A stream that has begun cannot say any more that there is no log.
      const { last } = await hostLog.read({ limit: 1 });
      const from = { ...query, after: query.after ?? last };
      const ended = endsOf(supervisor, caller);
      return followStream("log", (signal) => hostLog.follow(from, signal), ended);
    },
    listCrashes: () => crashes.list(),
    getCrash: ({ params }) => crashes.get(params.id),
    deleteCrash: ({ params }) => crashes.delete(params.id),
    getSupportBundle({ caller }) {
      supervisor.log("info", "making a support bundle", { address: caller.address });
      return bundleResponse(supervisor.bundleSources(), Deno.hostname());
    },
  };
}
