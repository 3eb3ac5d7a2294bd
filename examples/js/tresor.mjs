// A Tresor service that lives as long as a test run: started, asked, moved in time, made to fail, and
// made clean again. Node's own modules only; copy it as it is.
//
// The binary is `tresor` on the PATH, or the one that TRESOR_BIN names.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const START_LIMIT = 60_000;

export class Service {
  #process;
  #folder;
  #token;

  /** Starts a service; `settings` has the names of `tresor env`, `ca` its certificate. */
  static async start(clock = "2026-01-01T00:00:00Z") {
    const service = new Service();
    await service.#start(clock);
    return service;
  }

  async #start(clock) {
    this.#folder = mkdtempSync(path.join(tmpdir(), "tresor-example-"));
    const ready = path.join(this.#folder, "ready.json");
    const log = path.join(this.#folder, "log");
    this.#process = spawn(
      process.env.TRESOR_BIN ?? "tresor",
      ["serve", "--ephemeral", "--clock", clock, "--ready-file", ready],
      { stdio: ["ignore", "ignore", openSync(log, "w")] },
    );
    const end = Date.now() + START_LIMIT;
    while (!existsSync(ready)) {
      if (this.#process.exitCode !== null || Date.now() > end) {
        throw new Error(`the service did not start:\n${readFileSync(log, "utf8")}`);
      }
      await pause(10);
    }
    this.settings = JSON.parse(readFileSync(ready, "utf8"));
    this.ca = readFileSync(this.settings.CA_FILE, "utf8");
  }

  /** Stops it; it removes its data itself. */
  async stop() {
    if (this.#process.exitCode === null) {
      const ended = once(this.#process, "exit");
      this.#process.kill("SIGTERM");
      await ended;
    }
    rmSync(this.#folder, { recursive: true });
  }

  /** Moves the clock by `PT4H`, `P1D`, ... and returns the jobs that ended, when everything that is
   * due is done. Without an argument it only waits. */
  async advance(by) {
    return (await this.#hook("POST", "clock", by ? { advance: by } : {})).jobs;
  }

  /** What the clock shows. */
  async now() {
    return Date.parse((await this.#hook("GET", "clock")).now);
  }

  /** Makes the next matching operations fail: `where` is request, operation or job. */
  async fail(operation, code, { where = "request", times = 1 } = {}) {
    await this.#hook("POST", "faults", { operation, code, where, times });
  }

  /** No resources, no faults, the clock at its beginning; same address and credentials. */
  async reset() {
    await this.#hook("POST", "reset");
  }

  async #hook(method, name, body) {
    return this.#send(method, `/_tresor/${name}`, body && JSON.stringify(body), {
      Authorization: `Bearer ${await this.#owner()}`, "Content-Type": "application/json",
    });
  }

  async #owner() {
    if (!this.#token) {
      const { TENANT_ID, CLIENT_ID, CLIENT_SECRET, BASE_URL } = this.settings;
      const form = new URLSearchParams({
        grant_type: "client_credentials", client_id: CLIENT_ID, client_secret: CLIENT_SECRET,
        scope: `${BASE_URL}/.default`,
      });
      const answer = await this.#send("POST", `/${TENANT_ID}/oauth2/v2.0/token`, `${form}`, {
        "Content-Type": "application/x-www-form-urlencoded",
      });
      this.#token = answer.access_token;
    }
    return this.#token;
  }

  async #send(method, target, body, headers) {
    const url = `${this.settings.BASE_URL}${target}`;
    const request = https.request(url, { method, headers, ca: this.ca });
    request.end(body);
    const [response] = await once(request, "response");
    const chunks = await response.toArray();
    const text = Buffer.concat(chunks).toString("utf8");
    if (response.statusCode >= 400) throw new Error(`${response.statusCode} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }
}
