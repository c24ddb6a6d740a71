import { Partial } from "fresh/runtime";
import { Shell } from "../../components/shell.tsx";
import { define } from "../../server/state.ts";

export default define.layout(({ Component, url }) => (
  <Partial name="page">
    <Shell path={url.pathname}>
      <Component />
    </Shell>
  </Partial>
));
