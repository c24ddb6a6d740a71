import { useState } from "preact/hooks";
import type {
  Bridge,
  Host,
  HostNetwork,
  HostSsh,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "../client/action_button.tsx";
import { call, messageOf } from "../client/api.ts";
import { BridgeForm } from "../client/bridge_form.tsx";
import { Confirm, Dialog } from "../client/dialog.tsx";
import { useLive } from "../client/live.ts";
import { NetworkTrial } from "../client/network_trial.tsx";
import { SshPanel } from "../client/ssh_panel.tsx";
import { toast } from "../client/toasts.ts";

export default function NetworkPage(props: { host: Host; network: HostNetwork; ssh: HostSsh }) {
  const { host } = useLive({ host: props.host });
  const [told, setTold] = useState(props.network);
  const [asks, setAsks] = useState<
    { what: "add" } | { what: "edit" | "remove"; bridge: Bridge } | null
  >(null);
  const close = () => setAsks(null);
  const network = told.trial?.network ?? told.network;
  const doomed = asks?.what === "remove" ? asks.bridge : null;
  const remove = async ({ name }: Bridge) => {
    const bridges = network.bridges.filter((it) => it.name !== name);
    try {
      setTold(await call("changeNetwork", { body: { ...network, bridges } }));
    } catch (error) {
      toast("problem", messageOf(error));
    }
  };
  return (
    <>
      <header class="page-head">
        <div>
          <h1>Network</h1>
          <p class="page-sub">
            <b>{host.name}</b>
            <span>The host’s own addresses, and the bridges that guests are put into</span>
          </p>
        </div>
        <div class="row">
          <ActionButton
            icon="plus"
            kind="primary"
            reason={null}
            onClick={() => setAsks({ what: "add" })}
          >
            Add a bridge
          </ActionButton>
        </div>
      </header>
      {told.problem !== null && <p class="banner" role="alert">{told.problem}</p>}
      {told.trial !== null && <NetworkTrial trial={told.trial} onTold={setTold} />}
      <BridgeTable
        bridges={network.bridges}
        onEdit={(bridge) => setAsks({ what: "edit", bridge })}
        onRemove={(bridge) => setAsks({ what: "remove", bridge })}
      />
      <CardTable network={told} />
      <SshPanel ssh={props.ssh} />
      <Dialog title="Add a bridge" isOpen={asks?.what === "add"} onClose={close}>
        <BridgeForm host={told} onTold={setTold} onDone={close} />
      </Dialog>
      <Dialog
        title={asks?.what === "edit" ? `Change ${asks.bridge.name}` : "Change"}
        isOpen={asks?.what === "edit"}
        onClose={close}
      >
        {asks?.what === "edit" && (
          <BridgeForm host={told} bridge={asks.bridge} onTold={setTold} onDone={close} />
        )}
      </Dialog>
      <Confirm
        title={`Remove ${doomed?.name}?`}
        verb="Remove bridge"
        isOpen={doomed !== null}
        onClose={close}
        onConfirm={() => doomed && void remove(doomed)}
      >
        The bridge is taken away while the change is tried, and for good once you keep it
      </Confirm>
    </>
  );
}

interface BridgeTableProps {
  bridges: Bridge[];
  onEdit: (bridge: Bridge) => void;
  onRemove: (bridge: Bridge) => void;
}

const METHODS = { dhcp: "DHCP", auto: "As announced", static: "", none: "None" } as const;

function BridgeTable({ bridges, onEdit, onRemove }: BridgeTableProps) {
  const address = (it: Bridge["ipv4"] | Bridge["ipv6"]) => (
    <>
      {it.address ?? METHODS[it.method]}
      {it.gateway !== null && <span class="guest-sub">by {it.gateway}</span>}
    </>
  );
  return (
    <table class="list network">
      <caption class="unseen">Bridges of the host</caption>
      <thead>
        <tr>
          <th scope="col">Bridge</th>
          <th scope="col">Uplink</th>
          <th scope="col">VLAN</th>
          <th scope="col">IPv4</th>
          <th scope="col">IPv6</th>
          <th scope="col">
            <span class="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {bridges.map((bridge) => (
          <tr key={bridge.name}>
            <th scope="row">{bridge.name}</th>
            <td data-label="Uplink">{bridge.uplink ?? "None"}</td>
            <td data-label="VLAN">{bridge.vlan ?? "–"}</td>
            <td data-label="IPv4">{address(bridge.ipv4)}</td>
            <td data-label="IPv6">{address(bridge.ipv6)}</td>
            <td class="acts">
              <ActionButton
                icon="edit"
                kind="quiet"
                isSmall
                reason={null}
                onClick={() => onEdit(bridge)}
              >
                Change {bridge.name}
              </ActionButton>
              <ActionButton
                icon="trash"
                kind="quiet"
                isSmall
                reason={bridge.name === "br0" ? "Guests use it by default" : null}
                onClick={() => onRemove(bridge)}
              >
                Remove {bridge.name}
              </ActionButton>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function CardTable({ network: { cards, network } }: { network: HostNetwork }) {
  return (
    <table class="list network">
      <caption class="unseen">Network cards of the host</caption>
      <thead>
        <tr>
          <th scope="col">Card</th>
          <th scope="col">Cable</th>
          <th scope="col">Bond</th>
        </tr>
      </thead>
      <tbody>
        {cards.map(({ mac, name, hasCarrier }) => (
          <tr key={mac}>
            <th scope="row">
              {mac}
              <span class="guest-sub">{name}</span>
            </th>
            <td data-label="Cable">{hasCarrier ? "Plugged in" : "None"}</td>
            <td data-label="Bond">
              {network.bonds.find((it) => it.cards.includes(mac))?.name ?? "–"}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
