import { asset } from "fresh/runtime";
import { define } from "../server/state.ts";

export default define.layout(({ Component, state }) => (
  <html lang="en" data-theme={state.theme === "auto" ? undefined : state.theme}>
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="color-scheme" content="light dark" />
      <meta name="csrf-token" content={state.session?.csrfToken ?? ""} />
      <title>Denovisor</title>
      <link rel="icon" href={asset("/favicon.svg")} type="image/svg+xml" />
      <link rel="stylesheet" href={asset("/console.css")} />
    </head>
    <body f-client-nav>
      <Component />
    </body>
  </html>
));
