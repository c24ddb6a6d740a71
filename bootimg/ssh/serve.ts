/**
 * What process 1 answers on its socket of SSH: the supervisor shows and changes it so.
 *
 * @module
 */
import { explainIssue } from "../../hypervisor/supervisor/api/field_errors.ts";
import { HOST_SSH_MOST } from "../../hypervisor/supervisor/api/limits.ts";
import { HostSshChange } from "../../hypervisor/supervisor/api/ssh_schemas.ts";
import { failed, type HostRoutes } from "../host_socket.ts";
import { type HostSsh, SshRefusal } from "./host_ssh.ts";

const MOST_BYTES = HOST_SSH_MOST.keys * (HOST_SSH_MOST.keyCharacters + 100);

/** The routes that show and change who may log in. */
export function sshRoutes(ssh: HostSsh): HostRoutes {
  return {
    "GET /ssh": async () => Response.json(await ssh.tell()),
    "PUT /ssh": async (request) => {
      try {
        return Response.json(await ssh.change((await readChange(request)).keys));
      } catch (error) {
        if (error instanceof SshRefusal) return failed(422, error.message);
        throw error;
      }
    },
  };
}

async function readChange(request: Request): Promise<HostSshChange> {
  if (Number(request.headers.get("content-length") ?? Infinity) > MOST_BYTES) {
    throw new SshRefusal(`Cannot read the keys: they have over ${MOST_BYTES} bytes`);
  }
  let value: unknown;
  try {
    value = await request.json();
  } catch {
    throw new SshRefusal("Cannot read the keys: they are not JSON");
  }
  const result = HostSshChange.safeParse(value, { error: explainIssue });
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  throw new SshRefusal(`Cannot read the keys: ${path.map(String).join(".")} ${message}`);
}
