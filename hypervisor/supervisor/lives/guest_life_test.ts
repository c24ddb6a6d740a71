import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type GuestAction, type GuestState, isAllowed } from "../api/actions.ts";
import { CpuSettings, MemorySettings } from "../api/schemas.ts";
import type { ExitReason } from "../../vmm/control.ts";
import { ApiProblem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import { GuestLife, type Vmm, type VmmEnd, type VmmListener } from "./guest_life.ts";
import { firstRun, Run } from "./run.ts";

const RECORD: GuestRecord = {
  id: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
  name: "web",
  cpus: 1,
  memoryMiB: 128,
  kernel: "k",
  initrd: null,
  cmdline: "",
  cpu: CpuSettings.parse({}),
  memory: MemorySettings.parse({}),
  disks: [],
  nets: [],
  hotplugPorts: 0,
  agent: false,
  cloudInit: null,
  autostart: false,
  atShutdown: null,
  startOrder: null,
  createdAt: "2026-01-01T00:00:00.000Z",
  error: null,
};

/** A VMM that does what the test says, when it says so. */
class ScriptedVmm implements Vmm {
  readonly #end = Promise.withResolvers<VmmEnd>();
  #listener: VmmListener | null = null;
  /** Null before anyone heard of it: its first word is that it is ready. */
  #state: "running" | "stopping" | null = null;
  isAlive = true;
  isClean = false;
  killed = false;
  pressed = 0;
  readonly run = Run.begin("/nonexistent", firstRun(RECORD));

  follow(listener: VmmListener): Promise<VmmEnd> {
    this.#listener = listener;
    return this.#end.promise;
  }

  ready() {
    const status = {
      version: 1,
      program: "1",
      pid: 1,
      name: "web",
      cpus: 1,
      memoryMiB: 128,
      startedAt: 1,
    };
    if (!this.isAlive) return;
    this.#state ??= "running";
    this.#listener!.ready({ ...status, state: this.#state });
  }

  stopping() {
    if (!this.isAlive || this.#state === null) return;
    this.#state = "stopping";
    this.#listener!.state("stopping");
  }

  paused(reason: string | null) {
    if (this.isAlive && this.#state !== null) this.#listener!.paused(reason);
  }

  pause(): Promise<void> {
    this.paused("It was told to pause");
    return Promise.resolve();
  }

  resume(): Promise<void> {
    this.paused(null);
    return Promise.resolve();
  }

  devices = () => Promise.resolve({});

  end(reason: VmmEnd["reason"]) {
    this.isAlive = false;
    this.#end.resolve({ reason, message: `it was ${reason}\n    at some line` });
  }

  kill(): Promise<void> {
    this.killed = true;
    return Promise.resolve();
  }

  pressPowerButton(): Promise<void> {
    this.pressed++;
    return this.isAlive ? Promise.resolve() : Promise.reject(new Error("nobody listens"));
  }

  logTail = () => "";
}

/** A life whose every VMM and every state is kept for the test to see. */
class Stage {
  readonly vmms: ScriptedVmm[] = [];
  readonly states: GuestState[] = [];
  canLaunch = true;
  keptError: string | null = null;
  /** By default, whatever is waited for has come. */
  pause: Promise<void> = Promise.resolve();
  readonly life = new GuestLife<ScriptedVmm>(RECORD, {
    log: () => {},
    check: () => {},
    launch: () => {
      if (!this.canLaunch) return Promise.reject(new Error("no tap"));
      this.vmms.push(new ScriptedVmm());
      return Promise.resolve(this.vmms.at(-1)!);
    },
    cleanUp: (_, vmm) => {
      vmm.isClean = true;
      return Promise.resolve();
    },
    keepError: (_, error) => this.keptError = error,
    sourceOf: () => {
      throw new Error("it boots");
    },
    keepResumesFrom: () => {},
    cardGone: () => {},
    ended: () => {},
    changed: (life) => {
      if (life.state !== this.states.at(-1)) this.states.push(life.state);
    },
    released: new AbortController().signal,
    mayRestart: () => true,
    pause: () => this.pause,
  });

  get vmm(): ScriptedVmm | undefined {
    return this.vmms.at(-1);
  }

  /** Lets everything happen that waits for nothing from outside. */
  async settle() {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }
}

/** Which state may follow which. */
const NEXT: Record<GuestState, GuestState[]> = {
  stopped: ["starting"],
  failed: ["starting"],
  starting: ["running", "stopping", "stopped", "failed", "starting"],
  running: ["stopping", "stopped", "failed", "starting"],
  stopping: ["stopped", "failed", "starting"],
};

const REASONS: (ExitReason | "killed")[] = [
  "poweroff",
  "host",
  "refused",
  "crash",
  "reboot",
  "killed",
];

type Step =
  | { do: "start" | "reset" | "ready" | "stopping" | "breakHost" | "mendHost" | "pause" | "resume" }
  | { do: "stop"; force: boolean }
  | { do: "end"; reason: VmmEnd["reason"] };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom<Step>(
    { do: "start" },
    { do: "start" },
    { do: "reset" },
    { do: "ready" },
    { do: "ready" },
    { do: "stopping" },
    { do: "breakHost" },
    { do: "mendHost" },
    { do: "pause" },
    { do: "resume" },
  ),
  fc.record({ do: fc.constant("stop" as const), force: fc.boolean() }),
  fc.record({ do: fc.constant("end" as const), reason: fc.constantFrom(...REASONS) }),
);

async function take(stage: Stage, step: Step) {
  const { life } = stage;
  const before = life.phase;
  const act = async (action: GuestAction, what: () => Promise<void> | void) => {
    const allowed = isAllowed(action, before);
    const attempt = (async () => await what())().then(() => null, (error: unknown) => error);
    await stage.settle();
    // A start answers later, when its VMM is ready or gone; a refusal comes at once.
    const answer = await Promise.race([attempt, Promise.resolve("later")]);
    const isRefused = answer instanceof ApiProblem && answer.code === "wrong_state";
    assertEquals(isRefused, !allowed, `${action} in ${before}`);
  };
  switch (step.do) {
    case "start":
      return await act("start", () => life.start());
    case "stop":
      return await act(
        step.force || before === "stopping" ? "force" : "stop",
        () => life.stop({ force: step.force }),
      );
    case "pause":
      return await act("pause", () => life.pause());
    case "resume":
      return await act("resume", () => life.resume());
    case "reset":
      return await act("reset", () => life.reset());
    case "ready":
      stage.vmm?.ready();
      break;
    case "stopping":
      stage.vmm?.stopping();
      break;
    case "end":
      stage.vmm?.end(step.reason);
      break;
    case "breakHost":
      stage.canLaunch = false;
      break;
    case "mendHost":
      stage.canLaunch = true;
      break;
  }
  await stage.settle();
}

function check(stage: Stage) {
  const { life, vmms, states } = stage;
  const alive = vmms.filter(({ isAlive }) => isAlive);
  assert(alive.length <= 1, "one VMM at a time");
  assertEquals(alive.length === 1, life.isUp, `a VMM while ${life.state}`);
  assert(vmms.every((vmm) => vmm.isAlive || vmm.isClean), "nothing is left of a VMM that ended");
  const view = life.view();
  assertEquals(view.error !== null, life.state === "failed");
  assert(stage.keptError !== null || life.state !== "failed", "a failure is kept");
  assert(!view.error?.includes("\n"), "an error is one line");
  if (!life.isUp) assertEquals(view.startedAt, null);
  for (let i = 1; i < states.length; i++) {
    assert(NEXT[states[i - 1]].includes(states[i]), `${states[i - 1]} to ${states[i]}`);
  }
}

Deno.test("why a guest waits is in its view while it is up, and forgotten with the run", async () => {
  const stage = new Stage();
  void stage.life.start();
  await stage.settle();
  stage.vmm!.ready();
  await stage.settle();
  assertEquals([stage.life.view().state, stage.life.view().pausedFor], ["running", null]);
  stage.vmm!.paused("The disk is full");
  assertEquals(stage.life.view().pausedFor, "The disk is full");
  stage.vmm!.paused(null);
  assertEquals(stage.life.view().pausedFor, null);
  stage.vmm!.paused("The disk is full");
  stage.vmm!.end("poweroff");
  await stage.settle();
  assertEquals([stage.life.view().state, stage.life.view().pausedFor], ["stopped", null]);
});

Deno.test("whatever happens in whatever order, state, VMM and error agree", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const stage = new Stage();
      for (const step of steps) {
        await take(stage, step);
        check(stage);
      }
      stage.vmm?.end("killed");
      await stage.settle();
    }),
    { numRuns: 300 },
  );
});

/** A guest that runs. */
async function running(): Promise<Stage> {
  const stage = new Stage();
  const started = stage.life.start();
  await stage.settle();
  stage.vmm!.ready();
  await started;
  return stage;
}

Deno.test("each end of a run leads to the state that it means", async () => {
  const expected: Record<VmmEnd["reason"], GuestState> = {
    poweroff: "stopped",
    reboot: "starting",
    host: "failed",
    refused: "failed",
    crash: "failed",
    migrated: "failed",
    upgraded: "failed",
    killed: "failed",
  };
  for (const reason of REASONS) {
    const stage = await running();
    stage.vmm!.end(reason);
    await stage.settle();
    assertEquals(stage.life.state, expected[reason], reason);
    if (expected[reason] === "failed") assertEquals(stage.keptError, `it was ${reason}`);
  }
});

Deno.test("each end of a run that was to stop leads to stopped", async () => {
  for (const reason of REASONS) {
    const stage = await running();
    await stage.life.stop({ force: false });
    assertEquals([stage.vmm!.pressed, stage.vmm!.killed], [1, false]);
    stage.vmm!.end(reason);
    await stage.settle();
    assertEquals([stage.life.state, stage.keptError], ["stopped", null], reason);
  }
});

Deno.test("the second stop kills, and so does force", async () => {
  const stage = await running();
  await stage.life.stop({ force: false });
  await stage.life.stop({ force: false });
  assertEquals([stage.vmm!.pressed, stage.vmm!.killed], [1, true]);
  const other = await running();
  await other.life.stop({ force: true });
  assertEquals([other.vmm!.pressed, other.vmm!.killed], [0, true]);
});

Deno.test("a restart that the host cannot do makes the guest failed", async () => {
  const stage = await running();
  stage.canLaunch = false;
  stage.vmm!.end("reboot");
  await stage.settle();
  assertEquals(stage.life.state, "failed");
  assertEquals(stage.keptError, "Cannot start it again: no tap");
});

Deno.test("a guest whose VMM ends while another goes on with it has not ended", async () => {
  for (const reason of ["upgraded", "killed"] as const) {
    const stage = await running();
    const { life, vmm } = stage;
    const heir = Promise.withResolvers<ScriptedVmm | null>();
    life.heir = heir.promise;
    vmm!.end(reason);
    await stage.settle();
    const next = new ScriptedVmm();
    heir.resolve(next);
    await stage.settle();
    assert(life.process === next);
    next.ready();
    assertEquals([stage.states, vmm!.isClean], [["starting", "running"], false]);
    next.end("poweroff");
    await stage.settle();
    assertEquals([life.state, next.isClean], ["stopped", true]);
  }
});

Deno.test("what was asked of a VMM comes to the one that goes on with its guest", async () => {
  for (const force of [false, true]) {
    const { life, vmm, settle } = await running();
    const next = new ScriptedVmm();
    life.heir = Promise.resolve(next);
    await life.stop({ force });
    vmm!.end("upgraded");
    await settle();
    assertEquals([next.pressed, next.killed], force ? [0, true] : [1, false]);
  }
});

Deno.test("a power button pressed on a guest that is just ending is no error", async () => {
  const stage = await running();
  const { vmm, life } = stage;
  vmm!.isAlive = false;
  stage.pause = new Promise(() => {});
  const stopped = life.stop({ force: false });
  vmm!.end("poweroff");
  await stopped;
  await stage.settle();
  assertEquals(life.state, "stopped");
});
