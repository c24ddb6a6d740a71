import { page } from "fresh";
import { Head } from "fresh/runtime";
import GuestsPage from "../../islands/guests_page.tsx";
import { define } from "../../server/state.ts";

export const handler = define.handlers({
  async GET({ state: { api } }) {
    const [host, guests] = await Promise.all([
      api.call("getHost", {}),
      api.call("listGuests", {}),
    ]);
    return page({ host, guests });
  },
});

export default define.page<typeof handler>(({ data }) => (
  <>
    <Head>
      <title>Guests · Denovisor</title>
    </Head>
    <GuestsPage host={data.host} guests={data.guests} />
  </>
));
