/**
 * A tap for a test's guest, where the machine lets us make one.
 *
 * @module
 */
const NAME = "hostiletap0";

export class TestTap implements Disposable {
  readonly name = NAME;

  /** Null where there are no taps, or none for us. */
  static create(): TestTap | null {
    ip("link", "del", NAME);
    if (!ip("tuntap", "add", "dev", NAME, "mode", "tap", "vnet_hdr")) return null;
    ip("link", "set", NAME, "up");
    return new TestTap();
  }

  [Symbol.dispose](): void {
    ip("link", "del", NAME);
  }
}

function ip(...args: string[]): boolean {
  try {
    return new Deno.Command("ip", { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}
