/**
 * The end of this process from a thread that is not its main thread.
 *
 * @module
 */
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  _exit: { parameters: ["i32"], result: "void" },
});

/** Ends all threads at once, whatever they wait for; nothing is tidied up. */
export function exitNow(code: number): void {
  libc.symbols._exit(code);
}
