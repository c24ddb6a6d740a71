/**
 * The script that every page with islands or partial navigation loads.
 *
 * @module
 */
import { hydrateIslands } from "./islands.ts";
import { followLinks } from "./navigation.ts";
import { readState } from "./state.ts";

const state = readState(document);
if (state) {
  followLinks();
  await hydrateIslands(document, { from: document.body, state });
}
