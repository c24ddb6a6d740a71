import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import {
  type GuestState,
  phaseOf,
  whyNot,
  whyNotPlug,
  whyNotRemove,
  whyNotUnplug,
} from "../../hypervisor/supervisor/api/actions.ts";
import type { Attachment, Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { Icon, type IconName } from "../components/icons.tsx";
import { ActionButton } from "./action_button.tsx";
import { Confirm } from "./dialog.tsx";
import { isDevicePending, type Kind, performDevice } from "./device_actions.ts";

interface DeviceCardProps {
  guest: Guest;
  kind: Kind;
  device: { id: string; attached: Attachment | null; restartNeeded: boolean };
  icon: IconName;
  /** How it is called here, such as "disk data". */
  name: string;
  title: string;
  facts: (string | null | false)[];
  /** What deleting it destroys. */
  loss: string;
  onEdit: () => void;
  children?: ComponentChildren;
}

const IS_UP: readonly GuestState[] = ["starting", "running", "stopping"];

function standing(attached: Attachment | null, isUp: boolean): string | null {
  switch (attached) {
    case "boot":
      return "In use";
    case "port":
      return "Plugged in";
    case "leaving":
      return "Being unplugged";
    default:
      return isUp ? "Not in the running guest" : null;
  }
}

/** A disk or a network card of a guest: what it is, how it does, and what can be done with it. */
export function DeviceCard(props: DeviceCardProps) {
  const { guest, kind, device, name, facts } = props;
  const [asks, setAsks] = useState<"pull" | "delete" | null>(null);
  const isUp = IS_UP.includes(guest.state);
  const told = standing(device.attached, isUp);
  const act = (what: "plug" | "unplug" | "pull" | "delete") =>
    void performDevice(guest, { kind, id: device.id, name }, what);
  const button = { kind: "quiet", isSmall: true } as const;
  return (
    <li class="device">
      <div class="device-head">
        <Icon name={props.icon} />
        <h4>{props.title}</h4>
        {told !== null && (
          <span class={`standing standing-${device.attached ?? "none"}`}>{told}</span>
        )}
      </div>
      <p class="device-facts">{facts.filter(Boolean).join(" · ")}</p>
      {device.restartNeeded && (
        <p class="device-note">What was changed applies at the guest’s next start</p>
      )}
      {isUp && device.attached === null && (
        <p class="device-note">The guest has it from its next start on, or once it is plugged in</p>
      )}
      {props.children}
      <div class="row device-acts" role="group" aria-label={`Actions for ${name}`}>
        <ActionButton
          {...button}
          icon="edit"
          reason={whyNot("update", phaseOf(guest))}
          onClick={props.onEdit}
        >
          Change {name}
        </ActionButton>
        {device.attached === null
          ? (
            <ActionButton
              {...button}
              icon="plug"
              reason={whyNotPlug(guest, device)}
              isBusy={isDevicePending(device.id, "plug")}
              onClick={() => act("plug")}
            >
              Plug in {name}
            </ActionButton>
          )
          : (
            <ActionButton
              {...button}
              icon="unplug"
              reason={whyNotUnplug(guest, device)}
              isBusy={isDevicePending(device.id, "unplug")}
              onClick={() => device.attached === "leaving" ? setAsks("pull") : act("unplug")}
            >
              {device.attached === "leaving" ? "Pull out" : "Unplug"} {name}
            </ActionButton>
          )}
        <ActionButton
          {...button}
          icon="trash"
          reason={whyNotRemove(device)}
          isBusy={isDevicePending(device.id, "delete")}
          onClick={() => setAsks("delete")}
        >
          Delete {name}
        </ActionButton>
      </div>
      <Confirm
        title={`Pull out ${name}?`}
        verb="Pull out"
        isOpen={asks === "pull"}
        onClose={() => setAsks(null)}
        onConfirm={() => act("pull")}
      >
        The guest was asked to let go of it and has not done so yet. Pulling it out takes it away at
        once: what the guest has not written to it is lost
      </Confirm>
      <Confirm
        title={`Delete ${name}?`}
        verb={`Delete ${name}`}
        isOpen={asks === "delete"}
        onClose={() => setAsks(null)}
        onConfirm={() => act("delete")}
      >
        {props.loss}
      </Confirm>
    </li>
  );
}
