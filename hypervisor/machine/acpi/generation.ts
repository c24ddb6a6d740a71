/**
 * The VM generation id: 16 bytes that change when a guest goes on as a copy of itself, or from a
 * point in its past, so that it makes new random numbers and identities (Microsoft, "Virtual Machine
 * Generation ID", 2012; Linux's Documentation/devicetree/bindings/rng/microsoft,vmgenid.yaml).
 *
 * @module
 */
import { GSI, VM_GENERATION } from "../address_map.ts";
import type { GuestMemory } from "../memory.ts";
import { type Aml, device, integer, name, packageOf, string } from "./aml.ts";

export const GENERATION_BYTES = 16;
/** Where notifications go. */
export const GENERATION_DEVICE = "\\_SB_.VGEN";
/** The interrupt that the Generic Event Device turns into a notification. */
export const GENERATION_GSI = GSI.GENERATION;

/** The device that tells where the id lies. */
export function generationDevice(): Aml {
  return device(
    "VGEN",
    name("_HID", string("DNVS0001")),
    name("_CID", string("VM_Gen_Counter")),
    name("_DDN", string("VM_Gen_Counter")),
    name("_UID", integer(0)),
    // The lower and the upper half of its address.
    name(
      "ADDR",
      packageOf(integer(VM_GENERATION % 2 ** 32), integer(Math.floor(VM_GENERATION / 2 ** 32))),
    ),
  );
}

/** Gives the guest an id that it never had. */
export function newGeneration(memory: GuestMemory): void {
  crypto.getRandomValues(memory.bytes.subarray(VM_GENERATION, VM_GENERATION + GENERATION_BYTES));
  memory.changed(VM_GENERATION, GENERATION_BYTES);
}
