import { page } from "fresh";
import { Head } from "fresh/runtime";
import GuestPage from "../../../islands/guest_page.tsx";
import { define } from "../../../server/state.ts";

export const handler = define.handlers({
  async GET({ params, state: { api } }) {
    const guestParams = { params: { id: params.id } };
    const [host, guest, figures, snapshots, tasks, peers] = await Promise.all([
      api.call("getHost", {}),
      api.call("getGuest", guestParams),
      api.call("getFigures", guestParams),
      api.call("listSnapshots", guestParams),
      api.call("listTasks", {}),
      api.call("listPeers", {}),
    ]);
    return page({ host, guest, figures, snapshots, tasks, peers });
  },
});

export default define.page<typeof handler>(({ data }) => (
  <>
    <Head>
      <title>{data.guest.name} · Denovisor</title>
    </Head>
    <GuestPage {...data} />
  </>
));
