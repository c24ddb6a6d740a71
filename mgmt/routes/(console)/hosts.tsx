import { page } from "fresh";
import { Head } from "fresh/runtime";
import HostsPage from "../../islands/hosts_page.tsx";
import { define } from "../../server/state.ts";

export const handler = define.handlers({
  async GET({ state: { api } }) {
    const [host, peers, moves] = await Promise.all([
      api.call("getHost", {}),
      api.call("listPeers", {}),
      api.call("listMoves", {}),
    ]);
    return page({ host, peers, moves });
  },
});

export default define.page<typeof handler>(({ data }) => (
  <>
    <Head>
      <title>Hosts · Denovisor</title>
    </Head>
    <HostsPage {...data} />
  </>
));
