/**
 * What made-up guests are told by cloud-init.
 *
 * @module
 */
import type {
  CloudInit,
  CloudInitCreate,
  CloudInitFacts,
  CloudInitUpdate,
  Guest,
} from "../../hypervisor/supervisor/api/schemas.ts";

/** As the supervisor makes it of a body. */
export function newCloudInit(wish: CloudInitCreate): CloudInit {
  const none = { userData: null, networkConfig: null, hostname: null, sshKeys: [] };
  return { instanceId: crypto.randomUUID(), ...none, ...wish };
}

export function cloudInitFacts(name: string, it: CloudInit | null): CloudInitFacts | null {
  if (it === null) return null;
  const bytes = (text: string | null) =>
    text === null ? null : new TextEncoder().encode(text).length;
  return {
    instanceId: it.instanceId,
    hostname: it.hostname ?? name,
    userDataBytes: bytes(it.userData),
    networkConfigBytes: bytes(it.networkConfig),
    sshKeys: it.sshKeys.length,
  };
}

/** The texts of all guests that have some. */
export class FakeCloudInits {
  readonly #all = new Map<string, CloudInit>();

  get({ id }: Guest): CloudInit | null {
    return this.#all.get(id) ?? null;
  }

  /** Keeps what a guest is told from now on; what it tells of that. */
  put({ id, name }: Pick<Guest, "id" | "name">, it: CloudInit | null): CloudInitFacts | null {
    if (it === null) this.#all.delete(id);
    else this.#all.set(id, it);
    return cloudInitFacts(name, it);
  }

  /** What a guest tells of it after a change. */
  change(guest: Guest, wish: CloudInitUpdate | null | undefined): CloudInitFacts | null {
    const now = this.get(guest);
    if (wish === null) return this.put(guest, null);
    if (wish === undefined) return this.put(guest, now);
    const { newInstance, ...texts } = wish;
    const next = { ...now ?? newCloudInit({}), ...texts };
    return this.put(guest, newInstance ? { ...next, instanceId: crypto.randomUUID() } : next);
  }
}
