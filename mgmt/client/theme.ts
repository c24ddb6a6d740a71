/**
 * Light or dark, as the person wants it or as their system says.
 *
 * @module
 */

const YEAR_SECONDS = 365 * 24 * 3600;

/** Changes to the other theme and keeps that in a cookie, which the server reads for the next page. */
export function toggleTheme(): void {
  const root = document.documentElement;
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const current = root.dataset.theme ?? (systemIsDark ? "dark" : "light");
  const next = current === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  document.cookie = `theme=${next}; Path=/; Max-Age=${YEAR_SECONDS}; SameSite=Strict; Secure`;
}
