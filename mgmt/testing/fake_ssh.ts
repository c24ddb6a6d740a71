/**
 * The SSH of a host that is only made up.
 *
 * @module
 */
import { type HostSsh, HostSshChange } from "../../hypervisor/supervisor/api/schemas.ts";

export class FakeSsh {
  keys: string[] = [];

  tell(): HostSsh {
    const isOn = this.keys.length > 0;
    return {
      isOn,
      keys: this.keys.map((key, i) => ({ key, fingerprint: `SHA256:${`${i}`.repeat(43)}` })),
      hostKey: isOn ? { key: "ssh-ed25519 AAAA", fingerprint: `SHA256:${"h".repeat(43)}` } : null,
      problem: null,
    };
  }

  /** The answer to a request of /host/ssh; null for all others. */
  async answer(request: Request, path: string): Promise<Response | null> {
    if (path !== "/host/ssh") return null;
    if (request.method === "PUT") this.keys = HostSshChange.parse(await request.json()).keys;
    return Response.json(this.tell());
  }
}
