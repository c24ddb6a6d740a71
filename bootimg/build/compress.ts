/**
 * Packing a tree for the kernel: a cpio archive, compressed.
 *
 * @module
 */
import { packCpio, type Tree } from "./cpio.ts";
import { toolCommand } from "./tools.ts";

/** Writes the packed tree to `path`; level 19 is slow and small, level 3 the other way round. */
export async function pack(tree: Tree, options: { path: string; level: number }): Promise<void> {
  // However many threads there are, the bytes are the same.
  const words = ["zstd", "-q", "-f", `-${options.level}`, "-T0", "-", "-o", options.path];
  const { words: [program, ...args], env } = await toolCommand(words);
  const child = new Deno.Command(program, {
    args,
    env,
    stdin: "piped",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  const stream = ReadableStream.from(packCpio(tree));
  const [status] = await Promise.all([
    child.status,
    // When zstd ends early its exit code tells more than the broken pipe.
    stream.pipeTo(child.stdin).catch(() => {}),
  ]);
  if (!status.success) {
    throw new Error(`Cannot pack "${options.path}": zstd said "${(await said).trim()}"`);
  }
}
