/**
 * Whether a guest's VMM and one here would understand each other, before anything of the guest has come.
 *
 * @module
 */
import { oldestOf, SPOKEN, type Spoken, type Status, understood } from "../../vmm/control.ts";

/** What a VMM speaks that does not say so: all of before there was a choice. */
const BEFORE: Spoken = { protocol: 1, format: 1 };

const WORDS: Readonly<Record<keyof Spoken, string>> = {
  protocol: "speaks version",
  format: "writes states of version",
};

/** Why a guest cannot come from such a VMM to this host's, which are `own`; null where it can. */
export function whyNotSpoken(speaks: Spoken, own: Spoken = SPOKEN): string | null {
  for (const key of ["protocol", "format"] as const) {
    const [version, newest] = [speaks[key], own[key]];
    if (understood(version, newest)) continue;
    const known = [...new Set([oldestOf(newest), newest])].join(" and ");
    const remedy = version > newest
      ? "Bring this host to a newer release"
      : "Upgrade the guest's VMM there first";
    return `its VMM ${WORDS[key]} ${version}, and those here understand ${known}. ${remedy}`;
  }
  return null;
}

/** What is said of it to the host that the guest is offered to: nothing that a host from before is not told. */
export function toldOf({ speaks = BEFORE }: Pick<Status, "speaks">): { speaks?: Spoken } {
  const { protocol, format } = speaks;
  return protocol === BEFORE.protocol && format === BEFORE.format ? {} : { speaks };
}
