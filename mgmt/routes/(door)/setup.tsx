import { Head } from "fresh/runtime";
import { LogoMark } from "../../components/logo.tsx";
import SetupForm from "../../islands/setup_form.tsx";
import { define } from "../../server/state.ts";

export default define.page(() => (
  <main class="door" id="main">
    <Head>
      <title>Set up · Denovisor</title>
    </Head>
    <div class="door-card">
      <LogoMark class="door-mark" />
      <h1>Welcome</h1>
      <p class="door-text">
        This host is new. Its own screen shows a one-time code: it proves that the machine is yours
      </p>
      <SetupForm />
    </div>
  </main>
));
