import { page } from "fresh";
import { Head } from "fresh/runtime";
import CreatePage from "../../../islands/create_page.tsx";
import { define } from "../../../server/state.ts";

export const handler = define.handlers({
  async GET({ state: { api } }) {
    const [host, images, templates] = await Promise.all([
      api.call("getHost", {}),
      api.call("listImages", {}),
      api.call("listTemplates", {}),
    ]);
    return page({ host, images, templates });
  },
});

export default define.page<typeof handler>(({ data }) => (
  <>
    <Head>
      <title>New guest · Denovisor</title>
    </Head>
    <CreatePage {...data} />
  </>
));
