import { page } from "fresh";
import { Head } from "fresh/runtime";
import { ApiError } from "../../../hypervisor/supervisor/api/client.ts";
import type { HostUpdateView } from "../../../hypervisor/supervisor/api/schemas.ts";
import UpdatePage from "../../islands/update_page.tsx";
import { define } from "../../server/state.ts";

export const handler = define.handlers({
  async GET({ state: { api } }) {
    const [host, update] = await Promise.all([
      api.call("getHost", {}),
      api.call("getUpdate", {}).catch(whyNone),
    ]);
    return page({ host, update });
  },
});

/** Why the system is not this console's to change, on a host that is no appliance. */
function whyNone(error: unknown): string {
  if (error instanceof ApiError && error.problem.code === "not_an_appliance") return error.message;
  throw error;
}

export default define.page<typeof handler>(({ data: { host, update } }) => (
  <>
    <Head>
      <title>Update · Denovisor</title>
    </Head>
    {typeof update === "string"
      ? (
        <>
          <header class="page-head">
            <h1>Update</h1>
          </header>
          <section class="empty">
            <h2>The system is seen to elsewhere</h2>
            <p>{update}</p>
          </section>
        </>
      )
      : <UpdatePage host={host} update={update as HostUpdateView} />}
  </>
));
