import { assertEquals } from "@std/assert";
import { ENDING_SIGNALS } from "./ending_signals.ts";

/** Runs a program that is sent `signals` by itself; what it still says. */
async function afterSignals(preparation: string, signals: readonly string[]): Promise<string> {
  const module = import.meta.resolve("./ending_signals.ts");
  const program = `
    import { surviveSignals } from ${JSON.stringify(module)};
    ${preparation}
    for (const signal of ${JSON.stringify(signals)}) Deno.kill(Deno.pid, signal);
    await new Promise((resolve) => setTimeout(resolve, 200));
    console.log("still there");
    Deno.exit(0);`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", program],
    stderr: "null",
  });
  return new TextDecoder().decode((await child.output()).stdout).trim();
}

Deno.test("a signal at which Deno ends by itself does not end process 1", async () => {
  assertEquals(await afterSignals("surviveSignals();", ENDING_SIGNALS), "still there");
  for (const signal of ENDING_SIGNALS) assertEquals(await afterSignals("", [signal]), "");
});
