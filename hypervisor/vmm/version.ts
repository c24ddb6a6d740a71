/** The release that this program is of. */
import config from "../../deno.json" with { type: "json" };

export const VERSION: string = config.version;
