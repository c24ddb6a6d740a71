import { page } from "fresh";
import { Head } from "fresh/runtime";
import GuestPage from "../../../islands/guest_page.tsx";
import { define } from "../../../server/state.ts";

export const handler = define.handlers({
  async GET({ params, state: { api } }) {
    const [host, guest] = await Promise.all([
      api.call("getHost", {}),
      api.call("getGuest", { params: { id: params.id } }),
    ]);
    return page({ host, guest });
  },
});

export default define.page<typeof handler>(({ data }) => (
  <>
    <Head>
      <title>{data.guest.name} · Denovisor</title>
    </Head>
    <GuestPage host={data.host} guest={data.guest} />
  </>
));
