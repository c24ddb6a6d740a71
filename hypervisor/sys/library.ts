/**
 * The C library, a function at a time: each costs about a millisecond to bind, in every thread anew,
 * and a thread calls few of those that its modules could.
 *
 * @module
 */

const LIBC = "libc.so.6";

/** A library as `Deno.dlopen` would give it, whose functions are bound when they are first used. */
export function libraryOf<const T extends Deno.ForeignLibraryInterface>(
  functions: T,
): { readonly symbols: Deno.DynamicLibrary<T>["symbols"] } {
  const symbols = {} as Deno.DynamicLibrary<T>["symbols"];
  for (const name of Object.keys(functions)) {
    Object.defineProperty(symbols, name, {
      configurable: true,
      enumerable: true,
      get() {
        const bound = Deno.dlopen(LIBC, { [name]: functions[name] }).symbols[name];
        // From here on it is a property like any other.
        Object.defineProperty(symbols, name, { value: bound, enumerable: true });
        return bound;
      },
    });
  }
  return { symbols };
}
