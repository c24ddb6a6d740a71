export { delay } from "npm:deno-std@1.4.0/async/delay.js";
export { deadline } from "npm:deno-std@1.4.0/async/deadline.js";
export { debounce } from "npm:deno-std@1.4.0/async/debounce.js";
export { retry } from "npm:deno-std@1.4.0/async/retry.js";
