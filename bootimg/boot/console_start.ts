/**
 * What the console finds when it starts, and when it is there.
 *
 * @module
 */
import { CONSOLE_UID } from "../services.ts";
import { attempt } from "./log.ts";

/** What is shown as the console's address should be one that answers. */
export async function untilConsoleAnswers(port: number): Promise<void> {
  while (true) {
    try {
      (await Deno.connect({ port })).close();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}

/** The console's folders belong to its user; the socket in the first is the supervisor's to make. */
export function makeConsoleFolders(all: readonly string[]): void {
  for (const folder of all) {
    attempt(`Cannot make "${folder}"`, () => {
      Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
      Deno.chownSync(folder, CONSOLE_UID, CONSOLE_UID);
    });
  }
}
