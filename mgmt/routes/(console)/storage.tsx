import { page } from "fresh";
import { Head } from "fresh/runtime";
import { ApiError } from "../../../hypervisor/supervisor/api/client.ts";
import type { HostStorage } from "../../../hypervisor/supervisor/api/schemas.ts";
import StoragePage from "../../islands/storage_page.tsx";
import { define } from "../../server/state.ts";

export const handler = define.handlers({
  async GET({ state: { api } }) {
    const [host, tasks, storage] = await Promise.all([
      api.call("getHost", {}),
      api.call("listTasks", {}),
      api.call("getStorage", {}).catch(whyNone),
    ]);
    return page({ host, tasks, storage });
  },
});

/** Why the disks are not this console's to show, on a host that is no appliance. */
function whyNone(error: unknown): string {
  if (error instanceof ApiError && error.problem.code === "not_an_appliance") return error.message;
  throw error;
}

export default define.page<typeof handler>(({ data: { host, tasks, storage } }) => (
  <>
    <Head>
      <title>Storage · Denovisor</title>
    </Head>
    {typeof storage === "string"
      ? (
        <>
          <header class="page-head">
            <h1>Storage</h1>
          </header>
          <section class="empty">
            <h2>The disks are seen to elsewhere</h2>
            <p>{storage}</p>
          </section>
        </>
      )
      : <StoragePage host={host} tasks={tasks} storage={storage as HostStorage} />}
  </>
));
