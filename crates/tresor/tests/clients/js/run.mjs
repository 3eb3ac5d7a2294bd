// Starts a service, runs the tests of this folder against it with Node's own runner, stops it.
//
// The runner is a process of its own, because Node reads NODE_EXTRA_CA_CERTS only when it starts.
// The exit code is that of the tests; a service that does not end as it should is a failure too.

import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import path from "node:path";

import { Service } from "./service.mjs";

const folder = path.dirname(fileURLToPath(import.meta.url));
const names = (await readdir(folder)).filter((name) => name.endsWith(".test.mjs")).sort();
const service = await Service.start();
let code = 1;
try {
  const tests = spawn(
    process.execPath,
    ["--test", "--test-reporter=tap", ...names.map((name) => path.join(folder, name))],
    {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, ...service.settings, NODE_EXTRA_CA_CERTS: service.settings.CA_FILE },
    },
  );
  code = await new Promise((resolve) => tests.once("exit", (status) => resolve(status ?? 1)));
} finally {
  await service.stop();
}
process.exit(code);
