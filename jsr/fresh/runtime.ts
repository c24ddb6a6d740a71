/**
 * What pages and islands use on both sides.
 *
 * @module
 */
export { HttpError } from "./server/error.ts";
export { asset, Head, type HeadProps, IS_BROWSER, Partial, type PartialProps } from "./shared.ts";
