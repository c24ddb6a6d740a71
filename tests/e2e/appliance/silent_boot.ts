/**
 * Process 1 as it is shipped, whose console never comes: in the test's own image only, started in its
 * place.
 *
 * @module
 */
import "../../../bootimg/boot/main.ts";

// Nobody has read it yet: that begins with what process 1 waits for.
const FILE = "/app/services.json";
const services: { name: string }[] = JSON.parse(Deno.readTextFileSync(FILE));
Deno.writeTextFileSync(FILE, JSON.stringify(services.filter(({ name }) => name !== "console")));
