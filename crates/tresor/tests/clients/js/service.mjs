// One `tresor serve` process: started, asked for its settings, stopped.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const START_LIMIT = 90_000;
const STOP_LIMIT = 60_000;
const POLL = 20;
const NAMES = [
  "BASE_URL", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "SUBSCRIPTION_ID", "CA_FILE",
];

/** A running service. */
export class Service {
  constructor(process_, settings, log) {
    this.process = process_;
    this.settings = settings;
    this.log = log;
  }

  /** Starts the binary that TRESOR_BIN names, on a new data folder. */
  static async start() {
    const program = process.env.TRESOR_BIN;
    if (!program) throw new Error("set TRESOR_BIN to the path of a tresor binary");
    const files = process.env.CLIENT_TEST_FILES ?? mkdtempSync(path.join(tmpdir(), "tresor-js-"));
    const data = path.join(files, "data");
    mkdirSync(data, { recursive: true });
    const log = path.join(process.env.CLIENT_TEST_LOGS ?? files, "service.log");
    const child = spawn(
      program,
      ["serve", "--data", data, "--listen", "127.0.0.1:0", "--log-format", "json"],
      { stdio: ["ignore", "ignore", openSync(log, "w", 0o600)] },
    );
    const end = Date.now() + START_LIMIT;
    while (!listens(data, child.pid)) {
      if (child.exitCode !== null || Date.now() > end) {
        child.kill("SIGKILL");
        throw new Error(`the service did not start:\n${readFileSync(log, "utf8")}`);
      }
      await pause(POLL);
    }
    return new Service(child, settings(program, data), log);
  }

  /** Ends it as an operator does; it must end by itself, with exit code 0. */
  async stop() {
    const ended = this.process.exitCode === null ? once(this.process, "exit") : null;
    this.process.kill("SIGTERM");
    const late = pause(STOP_LIMIT, "late", { ref: false });
    if (ended && (await Promise.race([ended, late])) === "late") this.process.kill("SIGKILL");
    if (this.process.exitCode !== 0) {
      throw new Error(`the service ended badly:\n${readFileSync(this.log, "utf8").slice(-4000)}`);
    }
  }
}

/** Whether the process of this number has written where it listens. */
function listens(data, pid) {
  try {
    return JSON.parse(readFileSync(path.join(data, "endpoint.json"), "utf8")).pid === pid;
  } catch {
    return false;
  }
}

/** What `tresor env` prints for clients. */
function settings(program, data) {
  const out = execFileSync(program, ["env", "--data", data], { encoding: "utf8" });
  const found = {};
  for (const [, name, quoted, plain] of out.matchAll(/([A-Z_]+)=(?:'([^']*)'|(\S+))/g)) {
    if (NAMES.includes(name)) found[name] = quoted ?? plain;
  }
  const missing = NAMES.filter((name) => !found[name]);
  if (missing.length) throw new Error(`\`tresor env\` does not print ${missing}`);
  return found;
}
