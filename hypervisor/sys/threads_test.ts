import { assertEquals, assertFalse, assertNotEquals } from "@std/assert";
import { kick, nameThread, threadId } from "./threads.ts";

function answer<T>(worker: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
}

async function threadGone(thread: number): Promise<void> {
  for (;;) {
    try {
      await Deno.stat(`/proc/self/task/${thread}`);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("a kick stays pending on the thread that it was meant for until that takes it", async () => {
  const worker = new Worker(new URL("./testing/kicked_worker.ts", import.meta.url), {
    type: "module",
  });
  worker.postMessage("start");
  const thread = await answer<number>(worker);
  assertNotEquals(thread, threadId());
  kick(thread);
  // A second before the first was taken adds nothing: a thread is kicked or it is not.
  kick(thread);
  worker.postMessage("drain");
  assertEquals(await answer(worker), [true, false]);
  await threadGone(thread);
  // It may have ended between the look at its id and the kick.
  kick(thread);
});

Deno.test("a thread has the name that it gave itself, cut to what the kernel keeps", () => {
  const path = `/proc/self/task/${threadId()}/comm`;
  const before = Deno.readTextFileSync(path).trim();
  nameThread("a name that is too long");
  assertEquals(Deno.readTextFileSync(path), "a name that is \n");
  nameThread(before);
  assertFalse(Deno.readTextFileSync(path).includes("too"));
});
