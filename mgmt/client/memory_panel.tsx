import { useRef, useState } from "preact/hooks";
import { phaseOf, whyNot } from "../../hypervisor/supervisor/api/actions.ts";
import { addedStepMiB, hasBalloon } from "../../hypervisor/supervisor/api/limits.ts";
import type { Figures, Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { Chart } from "../components/chart.tsx";
import { formatMiB } from "../components/format.ts";
import { call, fieldErrors, messageOf } from "./api.ts";
import { putGuest } from "./live.ts";
import { toast } from "./toasts.ts";

interface MemoryPanelProps {
  guest: Guest;
  figures: Figures[];
  /** How many looks a chart has room for. */
  length: number;
}

/** A guest's memory: what it uses, what it is asked to give back, and what is added to it. */
export function MemoryPanel({ guest, figures, length }: MemoryPanelProps) {
  const { memory, memoryMiB } = guest;
  const looks = figures.map((it) => it.memory);
  const last = looks.at(-1);
  const used = looks.map(({ totalMiB, availableMiB }) =>
    totalMiB === null || availableMiB === null ? null : Math.max(0, totalMiB - availableMiB)
  );
  const tell = (mib: number | null | undefined) => mib == null ? "–" : formatMiB(mib);
  return (
    <section class="panel" aria-label="Memory">
      <div class="panel-head">
        <h3>Memory</h3>
      </div>
      <Chart
        title="In the guest"
        length={length}
        most={memoryMiB + memory.requestedMiB}
        lines={[
          { label: "used", now: tell(used.at(-1)), values: used },
          {
            label: "given back",
            now: tell(last?.balloonMiB),
            values: looks.map(({ balloonMiB }) => balloonMiB),
          },
        ]}
      />
      {last !== undefined && used.at(-1) == null && (
        <p class="field-hint">The guest does not tell what it uses: it needs a balloon driver</p>
      )}
      <Slider
        guest={guest}
        field="balloonMiB"
        label="Give back to the host"
        most={memoryMiB}
        step={Math.max(1, Math.min(64, Math.floor(memoryMiB / 64)))}
        is={last?.balloonMiB}
        hint="The guest is asked for it and gives what it can spare"
        off={hasBalloon(memory) ? null : "Pages of a pool cannot be given back"}
      />
      <Slider
        guest={guest}
        field="requestedMiB"
        label="Memory added while it runs"
        most={memory.hotplugMiB}
        step={Math.max(addedStepMiB(memory.hotplugMiB), 64)}
        is={last?.addedMiB}
        hint="Taken back only as far as the guest can free it"
        off={memory.hotplugMiB > 0
          ? null
          : "How much can be added is chosen in the settings, and applies at the next start"}
      />
    </section>
  );
}

interface SliderProps {
  guest: Guest;
  field: "balloonMiB" | "requestedMiB";
  label: string;
  most: number;
  step: number;
  /** How much of it the guest has done, where it tells. */
  is: number | null | undefined;
  hint: string;
  /** Why there is nothing to choose. */
  off: string | null;
}

function Slider({ guest, field, label, most, step, is, hint, off }: SliderProps) {
  const wanted = guest.memory[field];
  /** What is being chosen and not sent yet. */
  const [chosen, setChosen] = useState<number | null>(null);
  const reason = off ?? whyNot("update", phaseOf(guest));
  const value = chosen ?? wanted;
  const id = `memory-${field}`;
  /** What is to be sent once that which is on its way has arrived. */
  const waiting = useRef<number | null>(null);
  const isSending = useRef(false);
  const send = async (value: number) => {
    setChosen(value);
    waiting.current = value;
    if (isSending.current) return;
    isSending.current = true;
    let sent = value;
    try {
      while (waiting.current !== null) {
        sent = waiting.current;
        waiting.current = null;
        const params = { id: guest.id };
        putGuest(await call("updateGuest", { params, body: { memory: { [field]: sent } } }));
      }
    } catch (error) {
      waiting.current = null;
      toast("problem", Object.values(fieldErrors(error))[0] ?? messageOf(error));
    } finally {
      isSending.current = false;
      // Whoever is moving it again meanwhile is not interrupted.
      setChosen((now) => now === sent ? null : now);
    }
  };
  const isUnderWay = guest.state === "running" && is != null && is !== wanted;
  return (
    <div class="field slider">
      <label for={id}>
        {label} <output class="number" for={id}>{formatMiB(value)}</output>
      </label>
      <input
        id={id}
        type="range"
        min="0"
        max={String(most)}
        step={String(step)}
        value={String(value)}
        disabled={reason !== null}
        aria-describedby={`${id}-hint`}
        aria-valuetext={formatMiB(value)}
        onInput={(event) => setChosen(Number(event.currentTarget.value))}
        onChange={(event) => void send(Number(event.currentTarget.value))}
      />
      <p class="field-hint" id={`${id}-hint`}>
        {reason ?? (isUnderWay ? `${formatMiB(is)} so far. ${hint}` : hint)}
      </p>
    </div>
  );
}
