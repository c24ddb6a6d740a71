/**
 * The YAML parser in a bundle: it has a build for Node, which requires what a bundle of modules cannot, and one
 * for all.
 *
 * @module
 */
import type { Plugin } from "esbuild";
import { CHECKOUT } from "./checkout.ts";

export const yamlPlugin: Plugin = {
  name: "yaml",
  setup(build) {
    const path = `${CHECKOUT}/node_modules/yaml/browser/index.js`;
    build.onResolve({ filter: /^yaml$/ }, () => ({ path }));
  },
};
