import { useEffect, useRef, useState } from "preact/hooks";
import { phaseOf } from "../../hypervisor/supervisor/api/actions.ts";
import type { Guest, Host } from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "../client/action_button.tsx";
import { isPending, perform, reasonAgainst } from "../client/guest_actions.ts";
import { useLive } from "../client/live.ts";
import { listenForKeys } from "../client/shortcuts.ts";
import { Uptime } from "../client/uptime.tsx";
import { formatMiB } from "../components/format.ts";
import { HostGauges, HostProblem } from "../components/gauges.tsx";
import { Icon } from "../components/icons.tsx";
import { StateBadge } from "../components/state_badge.tsx";

/** From this many on there is a field to find one. */
const MANY = 6;

export default function GuestsPage(props: { host: Host; guests: Guest[] }) {
  const { host, guests } = useLive(props);
  const [wanted, setWanted] = useState("");
  const find = useRef<HTMLInputElement>(null);
  useEffect(() =>
    listenForKeys((keys) => {
      if (keys !== "/" || !find.current) return false;
      find.current.focus();
      return true;
    }), []);

  const running = guests.filter(({ state }) => state === "running").length;
  const shown = guests.filter(({ name }) => name.includes(wanted.toLowerCase()));
  return (
    <>
      <header class="page-head">
        <div>
          <h1>Guests</h1>
          <p class="page-sub">
            <b>{host.name}</b>
            <span>{host.cpuModel}</span>
            {guests.length > 0 && <span>{running} of {guests.length} running</span>}
          </p>
        </div>
        <a class="button primary" href="/guests/new">
          <Icon name="plus" />
          <span>New guest</span>
        </a>
      </header>
      <HostProblem host={host} />
      <HostGauges host={host} guests={guests} />
      {guests.length === 0 ? <NoGuests /> : (
        <>
          {guests.length >= MANY && (
            <p class="find">
              <label for="find">Find a guest</label>
              <input
                id="find"
                ref={find}
                type="search"
                value={wanted}
                onInput={(event) => setWanted(event.currentTarget.value)}
              />
            </p>
          )}
          <GuestTable guests={shown} />
          {shown.length === 0 && <p class="nothing">No guest’s name holds “{wanted}”</p>}
        </>
      )}
    </>
  );
}

function NoGuests() {
  return (
    <section class="empty">
      <svg class="empty-art" viewBox="0 0 120 72" aria-hidden="true">
        <rect class="dashed" x="6" y="8" width="108" height="24" rx="4" />
        <rect class="dashed" x="6" y="40" width="108" height="24" rx="4" />
        <path d="M60 16v8M56 20h8" />
      </svg>
      <h2>No guests yet</h2>
      <p>
        A guest needs a kernel to boot, and most want a disk. Upload them as images, or take those
        that are here
      </p>
      <p class="row center">
        <a class="button primary" href="/guests/new">Create the first guest</a>
        <a class="button" href="/images">Upload images</a>
      </p>
    </section>
  );
}

function GuestTable({ guests }: { guests: Guest[] }) {
  return (
    <table class="list guests">
      <caption class="unseen">Guests of this host</caption>
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">State</th>
          <th scope="col" class="number">vCPUs</th>
          <th scope="col" class="number">Memory</th>
          <th scope="col" class="number">Disk</th>
          <th scope="col" class="number">Up</th>
          <th scope="col">
            <span class="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {guests.map((guest) => <GuestRow key={guest.id} guest={guest} />)}
      </tbody>
    </table>
  );
}

/** Where a guest is reached and what it runs, as its agent tells; null where none does. */
function agentWords({ agentFacts }: Guest): string | null {
  const { addresses = [], os = null } = agentFacts ?? {};
  return [addresses[0], os].filter(Boolean).join(" · ") || null;
}

const ACT_WORDS = { start: "Start", stop: "Stop", force: "Force off", resume: "Resume" };
const ACT_ICONS = { start: "start", stop: "power", force: "stop", resume: "start" } as const;

function GuestRow({ guest }: { guest: Guest }) {
  const phase = phaseOf(guest);
  const isUp = guest.state === "running" || guest.state === "stopping";
  const act = phase === "paused"
    ? "resume"
    : phase === "stopping"
    ? "force"
    : isUp
    ? "stop"
    : "start";
  const diskMiB = guest.disks.reduce((sum, { sizeMiB }) => sum + sizeMiB, 0);
  return (
    <tr>
      <th scope="row">
        <a class="guest-name" href={`/guests/${guest.id}`}>{guest.name}</a>
        <span class="guest-sub">
          {guest.error ?? guest.pausedFor ?? agentWords(guest) ?? guest.disks[0]?.image ??
            guest.kernel}
        </span>
      </th>
      <td data-label="State">
        <StateBadge state={guest.state} isPaused={guest.pausedFor !== null} />
      </td>
      <td data-label="vCPUs" class="number">{guest.cpus}</td>
      <td data-label="Memory" class="number">
        {formatMiB(guest.memoryMiB + guest.memory.requestedMiB)}
      </td>
      <td data-label="Disk" class="number">
        {diskMiB === 0 ? "–" : formatMiB(diskMiB)}
      </td>
      <td data-label="Up" class="number">
        <Uptime since={isUp ? guest.startedAt : null} />
      </td>
      <td class="acts">
        <ActionButton
          icon={ACT_ICONS[act]}
          kind="quiet"
          reason={reasonAgainst(guest, act)}
          isBusy={isPending(guest, act)}
          onClick={() => void perform(guest, act)}
          isSmall
        >
          {ACT_WORDS[act]} {guest.name}
        </ActionButton>
      </td>
    </tr>
  );
}
