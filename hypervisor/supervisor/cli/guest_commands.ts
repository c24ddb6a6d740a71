/**
 * Commands for guests.
 *
 * @module
 */
import type { GuestCreate, GuestUpdate } from "../api/schemas.ts";
import {
  mebibytes,
  type Options,
  parseRest,
  pinning,
  topology,
  UsageError,
  wholeNumber,
  yesOrNo,
} from "./arguments.ts";
import {
  CLOUD_INIT,
  CLOUD_INIT_HELP,
  CLOUD_INIT_LISTS,
  cloudInitChange,
  cloudInitOf,
} from "./cloud_init_options.ts";
import { type Command, find, show, showGuests, words } from "./command.ts";
import { diskSpec, netSpec } from "./specs.ts";
import { attachTerminal } from "./terminal.ts";

/** Options of both `create` and `change`. */
const SETTINGS = [
  ...[
    "cpus",
    "memory",
    "kernel",
    "initrd",
    "cmdline",
    "cpu",
    "topology",
    "nested",
    "hyperv",
    "pin",
  ],
  ...[
    "huge-pages",
    "mergeable",
    "balloon",
    "addable",
    "added",
    "ports",
    "agent",
    "autostart",
    "at-shutdown",
    "start-order",
  ],
  ...CLOUD_INIT,
];

const SETTINGS_HELP = `[--cpus N] [--memory SIZE] [--initrd IMAGE] [--cmdline TEXT]
         [--cpu MODEL] [--topology SxCxT] [--nested yes|no] [--hyperv yes|no] [--pin 0,2+3]
         [--huge-pages auto|transparent|2M|1G|none] [--mergeable yes|no] [--balloon SIZE]
         [--addable SIZE] [--added SIZE] [--ports N] [--agent yes|no] [--autostart yes|no]
         [--at-shutdown save|shutdown|host] [--start-order PLACE[,SECONDS]|none]
         ${CLOUD_INIT_HELP}`;

/** What options say, without what they do not say. */
function said<T extends object>(values: T): T | undefined {
  const some = Object.entries(values).filter(([, value]) => value !== undefined);
  return some.length === 0 ? undefined : Object.fromEntries(some) as T;
}

function text(value: Options[string]): string | undefined {
  return value === undefined ? undefined : String(value);
}

/** A place, with the seconds for which the next one waits. */
function startOrder(value: Options[string]): GuestUpdate["startOrder"] {
  if (value === undefined) return undefined;
  if (value === "none") return null;
  const [place, seconds, ...more] = String(value).split(",");
  if (more.length > 0) throw new UsageError("--start-order must be PLACE, PLACE,SECONDS or none");
  return {
    place: wholeNumber(place, "start-order")!,
    delaySeconds: wholeNumber(seconds, "start-order") ?? 0,
  };
}

/** The schemas of the API check what is said. */
function settings(options: Options): GuestUpdate {
  return said({
    cpus: wholeNumber(options.cpus, "cpus"),
    memoryMiB: mebibytes(options.memory, "memory"),
    cpu: said({
      model: text(options.cpu) as "host" | undefined,
      topology: topology(options.topology),
      nested: yesOrNo(options.nested, "nested"),
      hyperv: yesOrNo(options.hyperv, "hyperv"),
      pinning: pinning(options.pin),
    }),
    memory: said({
      hugePages: text(options["huge-pages"]) as "auto" | undefined,
      mergeable: yesOrNo(options.mergeable, "mergeable"),
      balloonMiB: mebibytes(options.balloon, "balloon"),
      hotplugMiB: mebibytes(options.addable, "addable"),
      requestedMiB: mebibytes(options.added, "added"),
    }),
    kernel: text(options.kernel),
    initrd: options.initrd === "-" ? null : text(options.initrd),
    cmdline: text(options.cmdline),
    hotplugPorts: wholeNumber(options.ports, "ports"),
    agent: yesOrNo(options.agent, "agent"),
    autostart: yesOrNo(options.autostart, "autostart"),
    atShutdown: options["at-shutdown"] === "host"
      ? null
      : text(options["at-shutdown"]) as "save" | undefined,
    startOrder: startOrder(options["start-order"]),
  }) ?? {};
}

function createBody(rest: string[]): GuestCreate {
  const { words: [name, ...more], options } = parseRest(rest, {
    strings: SETTINGS,
    lists: ["disk", "net", ...CLOUD_INIT_LISTS],
    booleans: ["no-network"],
  });
  if (name === undefined || more.length > 0) throw new UsageError("it takes NAME and options");
  const { kernel, ...others } = settings(options);
  if (kernel === undefined) throw new UsageError("--kernel is missing");
  const cloudInit = cloudInitOf(options);
  const disks = options.disk as string[];
  const nets = options.net as string[];
  if (options["no-network"] && nets.length > 0) {
    throw new UsageError("--no-network and --net contradict each other");
  }
  return {
    ...others,
    name,
    kernel,
    disks: disks.map(diskSpec),
    ...(cloudInit !== undefined && { cloudInit }),
    ...(options["no-network"] ? { nets: [] } : nets.length > 0 && { nets: nets.map(netSpec) }),
  };
}

export const GUEST_COMMANDS: readonly Command[] = [
  {
    name: "guests",
    words: "",
    summary: "List the guests",
    async run(context, rest) {
      words(rest);
      await showGuests(context, await context.api.client.call("listGuests", {}));
    },
  },
  {
    name: "create",
    words: `NAME --kernel IMAGE [--disk DISK]... [--net CARD]... [--no-network]
         ${SETTINGS_HELP}`,
    summary: "Create a guest; by default it has a card on the host's bridge and no disk",
    async run(context, rest) {
      const body = createBody(rest);
      await showGuests(context, [await context.api.client.call("createGuest", { body })]);
    },
  },
  {
    name: "change",
    words: `NAME [--name NAME] [--kernel IMAGE]
         ${SETTINGS_HELP} [--new-instance]`,
    summary: "Change a guest: balloon and added memory at once, the rest at its next start; " +
      "--user-data=- and the like take a text away, and with --new-instance cloud-init does all of it again",
    async run(context, rest) {
      const { words: [name, ...more], options } = parseRest(rest, {
        strings: [...SETTINGS, "name"],
        lists: CLOUD_INIT_LISTS,
        booleans: ["new-instance"],
      });
      if (name === undefined || more.length > 0) throw new UsageError("it takes NAME and options");
      const cloudInit = cloudInitChange(options);
      const body = said({ ...settings(options), cloudInit, name: text(options.name) });
      if (body === undefined) throw new UsageError("it takes something to change");
      const { id } = await find(context, name);
      await showGuests(context, [
        await context.api.client.call("updateGuest", { params: { id }, body }),
      ]);
    },
  },
  {
    name: "cloud-init",
    words: "NAME",
    summary: "Show what a guest's cloud-init disk tells its system",
    async run(context, rest) {
      const { id, cloudInit } = await find(context, words(rest, "NAME")[0]);
      const all = await context.api.client.call("getCloudInit", { params: { id } });
      await show(context, all, [
        ["instance-id", all.instanceId],
        ["hostname", cloudInit?.hostname ?? ""],
        ...all.sshKeys.map((key) => ["ssh-key", key]),
      ]);
      if (context.json) return;
      const texts = { "user-data": all.userData, "network-config": all.networkConfig };
      for (const [name, text] of Object.entries(texts)) {
        if (text !== null) {
          await context.out(`\n${name}:\n${text.replace(/\r\n?/g, "\n").trimEnd()}\n`);
        }
      }
    },
  },
  ...(["start", "pause", "resume", "reset"] as const).map((name): Command => ({
    name,
    words: "NAME",
    summary: {
      start: "Start a guest",
      pause: "Hold a guest's CPUs",
      resume: "Let a paused guest go on",
      reset: "End a guest at once and start it again",
    }[name],
    async run(context, rest) {
      const { id } = await find(context, words(rest, "NAME")[0]);
      const guest = await context.api.client.call(`${name}Guest`, { params: { id } });
      await showGuests(context, [guest]);
    },
  })),
  {
    name: "stop",
    words: "NAME [--force]",
    summary: "Press a guest's power button, or end it at once",
    async run(context, rest) {
      const { words: [name, ...more], options } = parseRest(rest, { booleans: ["force"] });
      if (name === undefined || more.length > 0) throw new UsageError("it takes NAME");
      const { id } = await find(context, name);
      const body = { force: options.force === true };
      const guest = await context.api.client.call("stopGuest", { params: { id }, body });
      await showGuests(context, [guest]);
    },
  },
  {
    name: "delete",
    words: "NAME",
    summary: "Delete a guest and its disks",
    async run(context, rest) {
      const { id } = await find(context, words(rest, "NAME")[0]);
      await context.api.client.call("deleteGuest", { params: { id } });
    },
  },
  {
    name: "console",
    words: "NAME",
    summary: "Open a guest's serial console; Ctrl-] leaves it",
    async run(context, rest) {
      const { id } = await find(context, words(rest, "NAME")[0]);
      await attachTerminal(context.api.connect("guestConsole", { id }));
    },
  },
];
