import { page } from "fresh";
import { Head } from "fresh/runtime";
import { LogoMark } from "../../components/logo.tsx";
import LoginForm from "../../islands/login_form.tsx";
import { define } from "../../server/state.ts";

export const handler = define.handlers({
  GET({ url }) {
    const next = url.searchParams.get("next") ?? "/";
    return page({
      // Only a path of our own, never "//elsewhere".
      next: /^\/(?![/\\])/.test(next) ? next : "/",
      isNew: url.searchParams.has("new"),
    });
  },
});

export default define.page<typeof handler>(({ data, url }) => (
  <main class="door" id="main">
    <Head>
      <title>Sign in · Denovisor</title>
    </Head>
    <div class="door-card">
      <LogoMark class="door-mark" />
      <h1>Denovisor</h1>
      <p class="door-text">
        {data.isNew ? "The password is set. Sign in with it on " : "Sign in to "}
        <b class="door-host">{url.hostname}</b>
      </p>
      <LoginForm next={data.next} />
    </div>
  </main>
));
