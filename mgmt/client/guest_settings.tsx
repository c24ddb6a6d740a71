import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { phaseOf, whyNot } from "../../hypervisor/supervisor/api/actions.ts";
import type { Guest, Host } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatMiB, formatTime } from "../components/format.ts";
import { ActionButton } from "./action_button.tsx";
import { Dialog } from "./dialog.tsx";
import { SettingsForm } from "./settings_form.tsx";
import { Uptime } from "./uptime.tsx";

function Row({ term, children }: { term: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Fields by the words that they have here. */
const PENDING: Record<string, string> = {
  cpus: "vCPUs",
  memoryMiB: "memory",
  kernel: "kernel",
  initrd: "initrd",
  cmdline: "command line",
  hotplugPorts: "ports",
  agent: "the agent’s channel",
  cloudInit: "the cloud-init disk",
  "cloudInit.instanceId": "cloud-init’s instance",
  "cloudInit.hostname": "host name",
  "cloudInit.userData": "user data",
  "cloudInit.networkConfig": "network configuration",
  "cloudInit.sshKeys": "SSH keys",
  "cpu.model": "processor model",
  "cpu.topology": "topology",
  "cpu.nested": "nested guests",
  "cpu.hyperv": "Hyper-V",
  "cpu.pinning": "pinning",
  "memory.hugePages": "pages",
  "memory.mergeable": "sharing of pages",
  "memory.hotplugMiB": "memory that can be added",
  "memory.requestedMiB": "added memory",
  "memory.balloonMiB": "memory to give back",
};

/** What the guest is made of, and the way to change it. */
export function GuestSettings({ guest, host }: { guest: Guest; host: Host }) {
  const [isOpen, setOpen] = useState(false);
  const isUp = guest.state === "running" || guest.state === "stopping";
  return (
    <section class="facts" aria-label="Settings">
      <div class="facts-head">
        <h2>Settings</h2>
        <ActionButton
          icon="edit"
          kind="quiet"
          isSmall
          reason={whyNot("update", phaseOf(guest))}
          onClick={() => setOpen(true)}
        >
          Change the settings
        </ActionButton>
      </div>
      {guest.pending.length > 0 && (
        <p class="device-note">
          At its next start changes: {guest.pending.map((it) => PENDING[it] ?? it).join(", ")}
        </p>
      )}
      <dl>
        <Row term="Up">
          <Uptime since={isUp ? guest.startedAt : null} />
        </Row>
        {guest.agentFacts?.os && <Row term="System">{guest.agentFacts.os}</Row>}
        {guest.agentFacts && guest.agentFacts.addresses.length > 0 && (
          <Row term="Addresses">
            {guest.agentFacts.addresses.map((it) => <code class="address" key={it}>{it}</code>)}
          </Row>
        )}
        <Row term="vCPUs">
          {guest.cpus}
          {guest.cpu.model !== "host" && `, ${guest.cpu.model}`}
        </Row>
        <Row term="Memory">
          {formatMiB(guest.memoryMiB)}
          {guest.memory.hotplugMiB > 0 && ` and up to ${formatMiB(guest.memory.hotplugMiB)} more`}
        </Row>
        <Row term="Kernel">{guest.kernel}</Row>
        <Row term="Initrd">{guest.initrd ?? "none"}</Row>
        <Row term="Command line">
          <code>{guest.cmdline}</code>
        </Row>
        <Row term="Starts with the host">{startWords(guest)}</Row>
        <Row term="When the host ends">
          {guest.atShutdown === null
            ? "as the host has it"
            : guest.atShutdown === "save"
            ? "is saved"
            : "is shut down"}
        </Row>
        {guest.savedAt !== null && <Row term="Next start">goes on from its saved memory</Row>}
        <Row term="Created">{formatTime(guest.createdAt)}</Row>
      </dl>
      <Dialog title={`Change ${guest.name}`} isOpen={isOpen} onClose={() => setOpen(false)}>
        <SettingsForm guest={guest} host={host} onDone={() => setOpen(false)} />
      </Dialog>
    </section>
  );
}

function startWords({ autostart, startOrder }: Guest): string {
  if (!autostart) return "no";
  if (startOrder === null) return "yes, after those that have a place";
  const { place, delaySeconds } = startOrder;
  const then = delaySeconds === 0 ? "" : `, and the next place ${delaySeconds} s later`;
  return `yes, in place ${place}${then}`;
}
