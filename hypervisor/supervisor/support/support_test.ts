import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { pciDevices } from "./hardware.ts";
import { LEFT_OUT, Scrubber } from "./scrub.ts";
import { tar, type TarFile, tarHeader } from "./tar.ts";

async function unpack(archive: Uint8Array<ArrayBuffer>): Promise<Map<string, string>> {
  const folder = await Deno.makeTempDir();
  try {
    Deno.writeFileSync(`${folder}/a.tar`, archive);
    const { success, stderr } = await new Deno.Command("tar", {
      args: ["-xf", `${folder}/a.tar`, "-C", folder],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    Deno.removeSync(`${folder}/a.tar`);
    const found = new Map<string, string>();
    const walk = (path: string) => {
      for (const { name, isDirectory } of Deno.readDirSync(`${folder}/${path}`)) {
        if (isDirectory) walk(`${path}${name}/`);
        else found.set(path + name, Deno.readTextFileSync(`${folder}/${path}${name}`));
      }
    };
    walk("");
    return found;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function archive(files: Iterable<TarFile>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = ReadableStream.from(tar(files, { time: new Date(1e12) }));
  return await new Response(stream).bytes();
}

Deno.test("what is archived is what tar unpacks", async () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9_.-]{0,20}$/);
  const files = fc.uniqueArray(fc.tuple(name, fc.string({ maxLength: 2000 })), {
    selector: ([name]) => name,
    maxLength: 5,
  });
  await fc.assert(
    fc.asyncProperty(files, async (files) => {
      const bytes = await archive(
        files.map(([name, text]) => ({
          name: `f/${name}`,
          bytes: new TextEncoder().encode(text.toWellFormed()),
        })),
      );
      const wanted = files.map(([name, text]) => [`f/${name}`, text.toWellFormed()] as const);
      assertEquals(await unpack(bytes), new Map(wanted));
    }),
    { numRuns: 15 },
  );
  assertThrows(() => tarHeader("x".repeat(101), 0, new Date()), RangeError);
  assertThrows(() => tarHeader("a\nb", 0, new Date()), RangeError);
});

const SECRET = "Zk3-hunter2-Zk3";

Deno.test("a secret is taken out in whatever form programs write it", () => {
  const scrubber = new Scrubber();
  for (
    const text of [
      `password=${SECRET}`,
      `PASSWORD: "${SECRET}"`,
      `{"root_password": "${SECRET}"}`,
      `"apiKey":"${SECRET}"`,
      `api_key = ${SECRET}, next`,
      `user-passwd='${SECRET} and more'`,
      `db_password_file=${SECRET}`,
      `authorization: Bearer ${SECRET}`,
      `Cookie: __Host-session=${SECRET}; b=c`,
      `https://root:${SECRET}@mirror.example/x`,
      `-----BEGIN PRIVATE KEY-----\n${SECRET}\n-----END PRIVATE KEY-----`,
      `-----BEGIN EC PRIVATE KEY-----\n${SECRET} and cut`,
      `argon2id$m=8,t=1,p=1$${SECRET}$x`,
      `root:$6$${SECRET}:19000`,
      `ssh-ed25519 ${SECRET} me@home`,
    ]
  ) {
    const clean = scrubber.text(`before ${text} after`);
    assert(!clean.includes("hunter2"), clean);
    assertStringIncludes(clean, LEFT_OUT);
    assertStringIncludes(clean, "before");
  }
  assert(!scrubber.text("code ABCDE-FGHJK-MNPQR-STVWX").includes("FGHJK"));
  assert(!scrubber.text(`token is ${"aB3_".repeat(10)}aBc`).includes("aB3_"));
});

Deno.test("what is no secret stays", () => {
  const scrubber = new Scrubber();
  for (
    const text of [
      "nvme0n1: 2 passed, bypass: off",
      "br0: port 2(dv0123456789) entered forwarding state",
      "tokens were few",
      "Cannot read https://mirror.example/x: 404",
      "pci 0000:00:1f.2: [8086:2922] type 00 class 0x010601",
      "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ]
  ) assertEquals(scrubber.text(text), text);
});

Deno.test("known secrets go wherever they stand, and fields by their names", () => {
  const scrubber = new Scrubber(["s3cr3t-one", "s3cr3t-one-and-more", "ab"]);
  assertEquals(
    scrubber.text("x s3cr3t-one-and-more y s3cr3t-one z ab"),
    `x ${LEFT_OUT} y ${LEFT_OUT} z ab`,
  );
  assertEquals(
    scrubber.value({
      a: ["s3cr3t-one", 1, null, true],
      userData: "#cloud-config",
      "user-data": { x: 1 },
      cmdline: "root=/dev/vda",
      password: null,
      deep: { secret: 5, plain: 6 },
    }),
    {
      a: [LEFT_OUT, 1, null, true],
      userData: LEFT_OUT,
      "user-data": LEFT_OUT,
      cmdline: LEFT_OUT,
      password: null,
      deep: { secret: LEFT_OUT, plain: 6 },
    },
  );
});

Deno.test("any text is cleaned, in a time that grows with its length alone", () => {
  const scrubber = new Scrubber(["known-secret"]);
  const piece = fc.constantFrom(
    ...["password", "=", ":", '"', " ", "-----BEGIN A-----", "://", "@", "known-secret", "\n"],
    ...["token", "ssh-rsa ", "Bearer ", "$6$", "x", "ABCDE-"],
  );
  fc.assert(fc.property(fc.array(piece, { maxLength: 200 }), (parts) => {
    assert(!scrubber.text(parts.join("")).includes("known-secret"));
  }));
  for (const part of ["a", "password", "-----BEGIN A-----", "://", "token ", "=", "Bearer ", "-"]) {
    const long = part.repeat(400_000 / part.length);
    const began = performance.now();
    scrubber.text(long);
    // Quadratic, it would be minutes.
    assert(performance.now() - began < 20_000, part);
  }
});

Deno.test("a PCI device is told with its class and driver; what is none is left out", () => {
  const row = ["0010", "1af41042", ...Array(15).fill("0"), "virtio-pci"].join("\t");
  const bare = ["00fa", "80862922", ...Array(15).fill("0"), ""].join("\t");
  const fact = (_: string, name: string) => name === "class" ? "0x010000" : "0x1af4";
  assertEquals(
    pciDevices(`${row}\n${bare}\nnonsense\n`, fact),
    "0000:00:02.0 0100 1af4:1042 (1af4:1af4) virtio-pci\n" +
      "0000:00:1f.2 0100 8086:2922 (1af4:1af4) -\n",
  );
  fc.assert(fc.property(fc.string(), (text) => {
    pciDevices(text, () => "");
  }));
});
