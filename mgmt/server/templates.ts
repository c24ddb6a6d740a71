import type { ApiClient } from "../../hypervisor/supervisor/api/client.ts";
import type { Template } from "../client/template_form.tsx";

/** All snapshots that guests are to be made of, by name. */
export async function listTemplates(api: ApiClient): Promise<Template[]> {
  const guests = await api.call("listGuests", {});
  const lists = await Promise.all(guests.map(async ({ id, name }) => {
    // One that is deleted meanwhile has none.
    const tree = await api.call("listSnapshots", { params: { id } }).catch(() => null);
    const templates = tree?.snapshots.filter(({ template }) => template) ?? [];
    return templates.map((snapshot) => ({ guest: { id, name }, snapshot }));
  }));
  return lists.flat().sort((a, b) => a.snapshot.name < b.snapshot.name ? -1 : 1);
}
