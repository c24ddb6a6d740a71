/** The CPUs of a configuration. @module */
import { isFeature } from "../../machine/cpu/baseline.ts";
import { MODELS } from "../../machine/cpu/models.ts";
import type { CpuConfig, CpuTopologyConfig } from "../control.ts";
import { ConfigError, flag, oneOf, record, refuse, whole } from "./fields.ts";

const MODEL_NAMES = ["host", ...Object.keys(MODELS)];

/** For a guest of `cpus` CPUs. */
export function cpu(value: unknown, cpus: number): CpuConfig {
  const known = ["model", "features", "topology", "hyperv", "nested"];
  const c = record(value, "the CPU", known);
  return {
    model: oneOf(c.model, "the CPU model", MODEL_NAMES),
    features: features(c.features),
    topology: topology(c.topology, cpus),
    hyperv: flag(c.hyperv, "the CPU's hyperv"),
    nested: flag(c.nested, "the CPU's nested"),
  };
}

function features(value: unknown): Record<string, boolean> | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse("the CPU features", value, "they must be an object");
  }
  for (const [name, wanted] of Object.entries(value)) {
    if (!isFeature(name)) refuse("the CPU feature", name, "it is none that is known");
    flag(wanted, `the CPU feature "${name}"`);
    if (name === "vmx" || name === "svm") {
      refuse("the CPU feature", name, 'ask for it by "nested"');
    }
  }
  return { ...value as Record<string, boolean> };
}

function topology(value: unknown, cpus: number): CpuTopologyConfig | undefined {
  if (value === undefined) return undefined;
  const t = record(value, "the CPU topology", ["sockets", "cores", "threads"]);
  const part = (name: string) =>
    whole(t[name], `the CPU topology's ${name}`, { min: 1, max: cpus });
  const { sockets, cores, threads } = {
    sockets: part("sockets"),
    cores: part("cores"),
    threads: part("threads"),
  };
  if (sockets * cores * threads !== cpus) {
    throw new ConfigError(
      `Cannot use the CPU topology: ${sockets} sockets of ${cores} cores of ${threads} threads ` +
        `are not ${cpus} CPUs`,
    );
  }
  return { sockets, cores, threads };
}

export const CPU_FLAG_HELP =
  `--cpu MODEL[,+FEATURE][,-FEATURE][,hyperv][,nested][,sockets=N][,cores=N][,threads=N]
  MODEL is one of ${MODEL_NAMES.join(", ")}`;

/** "x86-64-v3,+aes,nested,sockets=2" as the field of a configuration. */
export function cpuFromFlag(text: string, cpus: number): CpuConfig {
  const [model, ...options] = text.split(",");
  const features: Record<string, boolean> = {};
  const parts: Partial<CpuTopologyConfig> = {};
  const out: CpuConfig = { model: model as string };
  for (const option of options) {
    const [, part, count] = /^(sockets|cores|threads)=(\d{1,3})$/.exec(option) ?? [];
    if (part !== undefined) parts[part as keyof CpuTopologyConfig] = Number(count);
    else if (option === "hyperv" || option === "nested") out[option] = true;
    else if (/^[+-]./.test(option)) features[option.slice(1)] = option[0] === "+";
    else throw new ConfigError(`Cannot use --cpu option "${option}": see --help`);
  }
  if (Object.keys(features).length > 0) out.features = features;
  if (Object.keys(parts).length > 0) {
    // What is not said is one, but for cores, which make up the rest.
    const { sockets = 1, threads = 1 } = parts;
    out.topology = { sockets, threads, cores: parts.cores ?? cpus / sockets / threads };
  }
  return out;
}
