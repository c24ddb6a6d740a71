import { HttpError } from "fresh";
import { Head } from "fresh/runtime";
import { ApiError } from "../../hypervisor/supervisor/api/client.ts";
import { LogoMark } from "../components/logo.tsx";
import { define } from "./state.ts";

interface Trouble {
  status: number;
  title: string;
  text: string;
  /** Whether it may be over in a moment, so that the page tries by itself. */
  passes?: boolean;
}

/** Turns errors into pages; placed inside the content policy, so that they carry one too. */
export const errorPages = define.middleware(async (ctx) => {
  try {
    return await ctx.next();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return ctx.redirect("/login", 303);
    const trouble = describe(error, ctx.url.pathname);
    if (trouble.status >= 500) console.error(error);
    return await ctx.render(<ErrorPage {...trouble} />, { status: trouble.status }, {
      skipInheritedLayouts: true,
    });
  }
});

function describe(error: unknown, path: string): Trouble {
  const status = error instanceof HttpError || error instanceof ApiError ? error.status : 0;
  if (status === 404) {
    return {
      status,
      title: "There is nothing here",
      text: error instanceof ApiError ? error.message : `No page has the address ${path}`,
    };
  }
  if (status >= 400 && status < 500) {
    return { status, title: "That did not work", text: (error as Error).message };
  }
  if (error instanceof ApiError || error instanceof TypeError) {
    return {
      status: 503,
      title: "The host does not answer yet",
      text: "Its supervisor may be starting. This page tries again by itself every few seconds",
      passes: true,
    };
  }
  return {
    status: 500,
    title: "The console failed",
    text: "Guests are not affected. Load the page again; the host's log says what happened",
  };
}

function ErrorPage({ status, title, text, passes }: Trouble) {
  return (
    <main class="door" id="main" tabIndex={-1}>
      <Head>
        <title>{title} · Denovisor</title>
        {passes ? <meta http-equiv="refresh" content="4" /> : null}
      </Head>
      <div class="door-card">
        <LogoMark class="door-mark" />
        <p class="door-status">{status}</p>
        <h1>{title}</h1>
        <p class="door-text">{text}</p>
        <p>
          <a class="button primary" href="/" f-client-nav={false}>Go to the guests</a>
        </p>
      </div>
    </main>
  );
}
