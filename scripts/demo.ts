/**
 * The whole of Denovisor on an emulated PC: builds the image, writes it to a disk, boots that, and
 * shows the way in.
 *
 * @module
 */
import { buildImage } from "../bootimg/build/image.ts";
import { ownUpdateKey } from "../bootimg/build/update_key.ts";
import { chooseAcceleration } from "./demo_pc/acceleration.ts";
import { openBrowser } from "./demo_pc/chromium.ts";
import { walkThroughConsole } from "./demo_pc/console_walk.ts";
import { DEMO_GUEST, demoGuest, GUEST_LOGIN } from "./demo_pc/demo_guest.ts";
import { addSeedVolume, flash } from "./demo_pc/flash.ts";
import { freePort, Pc } from "./demo_pc/pc.ts";
import { Stages } from "./demo_pc/stages.ts";
import { consoleAnswers } from "./demo_pc/console_answers.ts";
import { CACHE, OUT, progress } from "./setup/checkout.ts";

const USAGE = `Usage: ./scripts/demo [--check] [--port N] [--frozen]

  --check   walk through the console unattended, in a browser, and power off; exits 0 if all went well
  --port N  the port of this machine at which the console is to be found
  --frozen  fail where a pinned Debian package is not served any more, instead of taking its successor
`;

const GIB = 1024 ** 3;
const DISK_BYTES = 6 * GIB;
/** How much longer than a real PC an emulated one may take. */
const PATIENCE = { kvm: 1, emulation: 6 } as const;
const SHUTDOWN_SECONDS = 90;

interface DemoOptions {
  check: boolean;
  port: number;
}

function parseOptions(args: readonly string[]): DemoOptions {
  const options: DemoOptions = { check: false, port: 0 };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--check") options.check = true;
    else if (args[i] === "--port" && /^\d{1,5}$/.test(args[i + 1] ?? "")) {
      options.port = Number(args[++i]);
    } else if (args[i] !== "--frozen") {
      throw new TypeError(`Cannot understand "${args[i]}"`);
    }
  }
  return options;
}

async function demo(options: DemoOptions): Promise<void> {
  const acceleration = await chooseAcceleration();
  progress(acceleration.reason);
  const patience = PATIENCE[acceleration.kind];
  const image = await buildImage({ updateKey: await ownUpdateKey() });
  progress(`the image is ${image.image} (${(image.parts.image / 1024 ** 2).toFixed(1)} MiB)`);
  const disk = await prepareDisk(image.image);
  const port = options.port || freePort();
  progress("switching the PC on");
  await using pc = await Pc.start({ disk, acceleration, forwards: [{ from: port, to: 443 }] });
  const stages = new Stages(() => pc.seconds);

  const first = await pc.screen.waitFor(/^Denovisor \d/, 60 * patience);
  stages.reached("Deno is PID 1", first.at);
  const url = `https://localhost:${port}/`;
  const code = await pc.screen.waitFor(/^Set-up code +(\S+)/, 60 * patience);
  // It makes its certificate before it listens: asking earlier would only slow it down.
  await pc.screen.waitFor(/^Certificate/, 60 * patience);
  await consoleAnswers({ port, limitSeconds: 60 * patience }).catch((error) => {
    throw new Error(`${error.message}\nThe PC's screen:\n${pc.screen.lastWords}`);
  });
  stages.reached("the console answers");
  console.log(`\n  Console      ${url}\n  Set-up code  ${code.match[1]}`);
  console.log(
    `  Guest        ${DEMO_GUEST}, login ${GUEST_LOGIN.user} / ${GUEST_LOGIN.password}\n`,
  );

  let answer = "";
  if (options.check) {
    answer = await check({ pc, stages, url, setupCode: code.match[1], patience });
  } else {
    console.log("Ctrl-C powers the PC off.\n");
    await interrupted(pc);
  }
  progress("pressing the power button");
  await pc.powerButton();
  if (!await pc.isOff(SHUTDOWN_SECONDS * patience)) {
    throw new Error(`Cannot power the PC off: it still runs\n${pc.screen.lastWords}`);
  }
  stages.reached("guest and host are down");
  console.log(stages.table());
  if (options.check) console.log(`\nThe guest answered: ${answer}\nPictures: ${OUT}/demo`);
}

async function prepareDisk(image: string): Promise<string> {
  const guest = await demoGuest();
  progress("writing the image and a guest to a disk");
  await Deno.mkdir(`${CACHE}/demo`, { recursive: true });
  const disk = `${CACHE}/demo/disk.img`;
  await flash(image, disk, DISK_BYTES);
  await addSeedVolume(disk, guest);
  return disk;
}

async function check(
  options: { pc: Pc; stages: Stages; url: string; setupCode: string; patience: number },
): Promise<string> {
  const { pc, stages, url, setupCode, patience } = options;
  const pictures = `${OUT}/demo`;
  await Deno.mkdir(pictures, { recursive: true });
  for await (const { name } of Deno.readDir(pictures)) await Deno.remove(`${pictures}/${name}`);
  await pc.picture(`${pictures}/00-screen.png`);
  const browser = await openBrowser();
  try {
    return await walkThroughConsole(browser, {
      url,
      setupCode,
      password: crypto.randomUUID(),
      guest: DEMO_GUEST,
      login: GUEST_LOGIN,
      pictures,
      onStage: (stage) => stages.reached(stage),
      patience,
    });
  } catch (error) {
    throw new Error(`${(error as Error).message}\nThe PC's screen:\n${pc.screen.lastWords}`, {
      cause: error,
    });
  } finally {
    await browser.close();
  }
}

/** Until Ctrl-C, or until the PC is switched off from within. */
async function interrupted(pc: Pc): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  Deno.addSignalListener("SIGINT", resolve);
  Deno.addSignalListener("SIGTERM", resolve);
  const off = async () => {
    while (!await pc.isOff(3600));
  };
  await Promise.race([promise, off()]);
}

if (import.meta.main) {
  let options: DemoOptions;
  try {
    options = parseOptions(Deno.args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    Deno.exit(2);
  }
  try {
    await demo(options);
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
  Deno.exit(0);
}
