import { page } from "fresh";
import { Head } from "fresh/runtime";
import { ApiError } from "../../../hypervisor/supervisor/api/client.ts";
import type { LogPage as Log } from "../../../hypervisor/supervisor/api/schemas.ts";
import LogPage from "../../islands/log_page.tsx";
import { define } from "../../server/state.ts";

export const handler = define.handlers({
  async GET({ state: { api } }) {
    const [host, log, crashes] = await Promise.all([
      api.call("getHost", {}),
      api.call("getLog", { query: { level: "info" } }).catch(whyNone),
      api.call("listCrashes", {}),
    ]);
    return page({ host, log, crashes });
  },
});

/** Why there is no log to show, on a host that is no appliance. */
function whyNone(error: unknown): string {
  if (error instanceof ApiError && error.problem.code === "not_an_appliance") return error.message;
  throw error;
}

export default define.page<typeof handler>(({ data: { host, log, crashes } }) => (
  <>
    <Head>
      <title>Log · Denovisor</title>
    </Head>
    <LogPage host={host} log={log as Log | string} crashes={crashes} />
  </>
));
