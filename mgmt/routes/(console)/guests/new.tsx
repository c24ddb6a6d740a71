import { page } from "fresh";
import { Head } from "fresh/runtime";
import CreatePage from "../../../islands/create_page.tsx";
import { define } from "../../../server/state.ts";

export const handler = define.handlers({
  async GET({ state: { api } }) {
    const [host, images] = await Promise.all([
      api.call("getHost", {}),
      api.call("listImages", {}),
    ]);
    return page({ host, images });
  },
});

export default define.page<typeof handler>(({ data }) => (
  <>
    <Head>
      <title>New guest · Denovisor</title>
    </Head>
    <CreatePage host={data.host} images={data.images} />
  </>
));
