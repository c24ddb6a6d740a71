import { useEffect, useState } from "preact/hooks";
import type { PairingOffer } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatTime } from "../components/format.ts";
import { call, messageOf } from "./api.ts";

/** Shows a code with which another host may pair with this one. */
export function PairingCode({ onDone }: { onDone: () => void }) {
  const [offer, setOffer] = useState<PairingOffer | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const ask = async () => {
    try {
      setOffer(await call("offerPairing", {}));
      setProblem(null);
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  useEffect(() => void ask(), []);
  return (
    <>
      {problem !== null && <div class="banner" role="alert">{problem}</div>}
      {offer !== null && (
        <>
          <p class="dialog-text">
            Type it on the other host’s page “Hosts”, under “Pair with a host”. Whoever has it can
            have guests moved here
          </p>
          <p class="pairing-code" role="status">
            <code>{offer.code}</code>
          </p>
          <dl class="pairing-facts">
            <div>
              <dt>Addresses of this host</dt>
              <dd>{offer.addresses.map((it) => <code class="address" key={it}>{it}</code>)}</dd>
            </div>
            <div>
              <dt>Good</dt>
              <dd>once, until {formatTime(offer.expiresAt)}</dd>
            </div>
          </dl>
        </>
      )}
      <div class="row end">
        <button type="button" class="button" onClick={() => void ask()}>New code</button>
        <button type="button" class="button primary" onClick={onDone}>Close</button>
      </div>
    </>
  );
}
