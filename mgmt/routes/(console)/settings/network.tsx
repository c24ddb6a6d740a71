import { page } from "fresh";
import { Head } from "fresh/runtime";
import { ApiError } from "../../../../hypervisor/supervisor/api/client.ts";
import type { HostNetwork, HostSsh } from "../../../../hypervisor/supervisor/api/schemas.ts";
import NetworkPage from "../../../islands/network_page.tsx";
import { define } from "../../../server/state.ts";

export const handler = define.handlers({
  async GET({ state: { api } }) {
    const [host, network, ssh] = await Promise.all([
      api.call("getHost", {}),
      api.call("getNetwork", {}).catch(whyNone),
      api.call("getHostSsh", {}).catch(whyNone),
    ]);
    return page({ host, network, ssh });
  },
});

/** Why they are not this console's to show, on a host that is no appliance. */
function whyNone(error: unknown): string {
  if (error instanceof ApiError && error.problem.code === "not_an_appliance") return error.message;
  throw error;
}

export default define.page<typeof handler>(({ data: { host, network, ssh } }) => (
  <>
    <Head>
      <title>Network · Denovisor</title>
    </Head>
    {typeof network === "string"
      ? <NoNetwork why={network} />
      : <NetworkPage host={host} network={network as HostNetwork} ssh={ssh as HostSsh} />}
  </>
));

function NoNetwork({ why }: { why: string }) {
  return (
    <>
      <header class="page-head">
        <h1>Network</h1>
      </header>
      <section class="empty">
        <h2>The network is set up elsewhere</h2>
        <p>{why}</p>
      </section>
    </>
  );
}
