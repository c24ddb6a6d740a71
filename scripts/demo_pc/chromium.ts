/**
 * The browser that demo and tests look at the console with: Debian's.
 *
 * @module
 */
import { type Browser, chromium } from "playwright-core";
import { hostPackages } from "../setup/host_packages.ts";

const CHROMIUM = "/usr/bin/chromium";

/** A browser that speaks to nobody but the console. */
const QUIET_FLAGS = [
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-domain-reliability",
  "--disable-extensions",
  "--disable-sync",
  "--metrics-recording-only",
  "--no-first-run",
  "--no-pings",
];

/** Starts a headless browser, installing it first where it is missing. */
export async function openBrowser(): Promise<Browser & AsyncDisposable> {
  await hostPackages(["chromium"]);
  return await chromium.launch({ executablePath: CHROMIUM, args: QUIET_FLAGS });
}
