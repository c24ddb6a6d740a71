import { useState } from "preact/hooks";
import { MOST_NETS } from "../../hypervisor/supervisor/api/limits.ts";
import type { Figures, Guest, Host, Net } from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "./action_button.tsx";
import { DeviceChart } from "./device_chart.tsx";
import { DeviceCard } from "./device_card.tsx";
import { Dialog } from "./dialog.tsx";
import { limitWords } from "./limit_fields.tsx";
import { NetForm } from "./net_form.tsx";

interface NetPanelProps {
  guest: Guest;
  host: Host;
  figures: Figures[];
  /** How many looks a chart has room for. */
  length: number;
}

/** A guest's network cards. */
export function NetPanel({ guest, host, figures, length }: NetPanelProps) {
  const [edits, setEdits] = useState<Net | "new" | null>(null);
  const done = () => setEdits(null);
  const limited = (what: string, words: string | null) => words && `${what} ${words}`;
  return (
    <section class="panel" aria-label="Network cards">
      <div class="panel-head">
        <h3>Network cards</h3>
        <ActionButton
          icon="plus"
          kind="quiet"
          reason={guest.nets.length < MOST_NETS
            ? null
            : `A guest has at most ${MOST_NETS} network cards`}
          onClick={() => setEdits("new")}
        >
          Add a card
        </ActionButton>
      </div>
      {guest.nets.length === 0 && <p class="nothing">It has none</p>}
      <ul class="devices">
        {guest.nets.map((net) => (
          <DeviceCard
            key={net.id}
            guest={guest}
            kind="net"
            device={net}
            icon="net"
            name={`network card ${net.mac}`}
            title={net.mac}
            facts={[
              net.linkUp ? "cable plugged in" : "cable pulled",
              `on ${net.bridge ?? "the host’s own bridge"}`,
              net.mtu !== null && `MTU ${net.mtu}`,
              net.queues !== null && `${net.queues} pairs of queues`,
              limited("receives", limitWords(net.receiveLimit)),
              limited("sends", limitWords(net.sendLimit)),
            ]}
            loss="The guest loses this address. This cannot be undone"
            onEdit={() => setEdits(net)}
          >
            <DeviceChart
              figures={figures}
              length={length}
              ways={["received", "sent"]}
              operations="packets"
              count={({ nets }) => {
                const it = nets[net.id];
                return it && {
                  operations: it.receivedFrames + it.sentFrames,
                  bytes: [it.receivedBytes, it.sentBytes],
                };
              }}
            />
          </DeviceCard>
        ))}
      </ul>
      <Dialog
        title={edits === "new" || edits === null ? "Add a network card" : `Change ${edits.mac}`}
        isOpen={edits !== null}
        onClose={done}
      >
        {edits !== null && (
          <NetForm
            guest={guest}
            host={host}
            net={edits === "new" ? undefined : edits}
            onDone={done}
          />
        )}
      </Dialog>
    </section>
  );
}
