import { useState } from "preact/hooks";
import type {
  Bridge,
  HostNetwork,
  Network,
  NetworkInput,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { call, loadSchemas } from "./api.ts";
import { bridgePlace } from "./bridge_place.ts";
import { Field } from "./field.tsx";
import { FormEnd } from "./form_end.tsx";
import { checkForm } from "./forms.ts";
import { numberOf, useForm } from "./use_form.ts";

interface BridgeFormProps {
  host: HostNetwork;
  /** The bridge to change; a new one without. */
  bridge?: Bridge;
  onTold: (network: HostNetwork) => void;
  onDone: () => void;
}

const METHODS = {
  ipv4: { dhcp: "By DHCP", static: "Fixed", none: "None" },
  ipv6: { auto: "As routers announce", static: "Fixed", none: "None" },
} as const;

/** Makes a bridge of the host's, or changes one; the change is then tried. */
export function BridgeForm({ host, bridge, onTold, onDone }: BridgeFormProps) {
  const network = host.trial?.network ?? host.network;
  const index = bridgePlace(network.bridges, bridge?.name);
  const { errors, isBusy, submit } = useForm<NetworkInput>({
    check: async (data) => {
      const { Network } = await loadSchemas();
      return checkForm(Network, {
        ...network,
        bridges: network.bridges.toSpliced(index, 1, readBridge(data, { index, bridge }) as Bridge),
        dns: String(data.get("dns")).split(/[\s,]+/).filter(Boolean),
      });
    },
    send: async (body) => {
      onTold(await call("changeNetwork", { body }));
      onDone();
    },
  });
  const at = (field: string) => `bridges.${index}.${field}`;
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      {!bridge && (
        <Field
          id="bridge-name"
          label="Name"
          error={errors[at("name")]}
          hint="Begins with br, such as br1"
        >
          {(attributes) => (
            <input
              {...attributes}
              class="code"
              name={at("name")}
              autoComplete="off"
              autoCapitalize="none"
              spellcheck={false}
              defaultValue={`br${index}`}
            />
          )}
        </Field>
      )}
      <div class="two">
        <Field id="bridge-uplink" label="Uplink" error={errors[at("uplink")]}>
          {(attributes) => (
            <select {...attributes} name={at("uplink")}>
              {uplinks(host, network).map(([value, text]) => (
                <option
                  key={value}
                  value={value}
                  selected={value === (bridge ? bridge.uplink ?? "" : "")}
                >
                  {text}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field
          id="bridge-vlan"
          label="VLAN"
          error={errors[at("vlan")]}
          hint="Left empty: what comes without a tag"
        >
          {(attributes) => (
            <input
              {...attributes}
              name={at("vlan")}
              type="number"
              inputMode="numeric"
              min="1"
              max="4094"
              defaultValue={bridge?.vlan?.toString() ?? ""}
            />
          )}
        </Field>
      </div>
      <AddressFields
        family="ipv4"
        before={bridge?.ipv4 ?? { method: "none", address: null, gateway: null }}
        at={at}
        errors={errors}
      />
      <AddressFields
        family="ipv6"
        before={bridge?.ipv6 ?? { method: "none", address: null, gateway: null }}
        at={at}
        errors={errors}
      />
      <Field
        id="network-dns"
        label="Name servers of the host"
        error={errors.dns}
        hint="At most three addresses; left empty: those that DHCP names"
      >
        {(attributes) => (
          <input
            {...attributes}
            class="code"
            name="dns"
            autoComplete="off"
            spellcheck={false}
            defaultValue={network.dns.join(", ")}
          />
        )}
      </Field>
      <FormEnd verb={isBusy ? "Trying" : "Try it"} isBusy={isBusy} onCancel={onDone} />
    </form>
  );
}

interface AddressFieldsProps {
  family: "ipv4" | "ipv6";
  before: Bridge["ipv4"] | Bridge["ipv6"];
  at: (field: string) => string;
  errors: Record<string, string>;
}

function AddressFields({ family, before, at, errors }: AddressFieldsProps) {
  const [method, setMethod] = useState<string>(before.method);
  const label = family === "ipv4" ? "IPv4" : "IPv6";
  const text = (field: "address" | "gateway", words: string, hint?: string) => (
    <Field
      id={`bridge-${family}-${field}`}
      label={`${label} ${words}`}
      error={errors[at(`${family}.${field}`)]}
      hint={hint}
    >
      {(attributes) => (
        <input
          {...attributes}
          class="code"
          name={at(`${family}.${field}`)}
          autoComplete="off"
          spellcheck={false}
          defaultValue={before[field] ?? ""}
        />
      )}
    </Field>
  );
  return (
    <>
      <Field
        id={`bridge-${family}`}
        label={`${label} address`}
        error={errors[at(`${family}.method`)]}
      >
        {(attributes) => (
          <select
            {...attributes}
            name={at(`${family}.method`)}
            onChange={(event) => setMethod(event.currentTarget.value)}
          >
            {Object.entries(METHODS[family]).map(([value, words]) => (
              <option key={value} value={value} selected={value === before.method}>{words}</option>
            ))}
          </select>
        )}
      </Field>
      {method === "static" && (
        <div class="two">
          {text(
            "address",
            "address and prefix",
            family === "ipv4" ? "Such as 192.0.2.7/24" : "Such as 2001:db8::7/64",
          )}
          {text("gateway", "gateway", "Left empty: none")}
        </div>
      )}
    </>
  );
}

function uplinks(host: HostNetwork, network: Network): [value: string, text: string][] {
  const known = network.bridges.map(({ uplink }) => uplink).filter((it) => it?.includes(":"));
  const macs = new Set([...host.cards.map(({ mac }) => mac), ...known as string[]]);
  return [
    ["", "None: for guests of this host alone"],
    ["any", "The first card with a cable"],
    ...network.bonds.map(({ name }): [string, string] => [name, `The bond ${name}`]),
    ...[...macs].map((mac): [string, string] => {
      const card = host.cards.find((it) => it.mac === mac);
      const state = !card ? "missing" : card.hasCarrier ? "cable" : "no cable";
      return [mac, `${mac} (${state})`];
    }),
  ];
}

function readBridge(data: FormData, options: { index: number; bridge?: Bridge }) {
  const { index, bridge } = options;
  const text = (field: string) => String(data.get(`bridges.${index}.${field}`) ?? "").trim();
  const addresses = <M extends string>(family: string) => ({
    method: text(`${family}.method`) as M,
    address: text(`${family}.address`) || null,
    gateway: text(`${family}.gateway`) || null,
  });
  return {
    name: bridge?.name ?? text("name"),
    uplink: text("uplink") || null,
    vlan: numberOf(data, `bridges.${index}.vlan`),
    ipv4: addresses<Bridge["ipv4"]["method"]>("ipv4"),
    ipv6: addresses<Bridge["ipv6"]["method"]>("ipv6"),
  };
}
