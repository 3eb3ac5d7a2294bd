// The automation under test. It knows Azure only: nothing in here is about Tresor or about tests.
// Replace it with your own. What it needs from outside, the client and a way to wait, is handed in.

import { setTimeout as pause } from "node:timers/promises";

export const BUSY = "UserErrorMaxConcurrentOperationLimitReached";
const DAY = 24 * 3600 * 1000;

/** Backs up an instance and returns the completed job. Waits for its turn when another backup of the
 * instance runs, at most `attempts` times. */
export async function backupNow(backup, instance, { attempts = 3, wait = seconds } = {}) {
  const body = {
    backupRuleOptions: {
      ruleName: "BackupHourly", triggerOption: { retentionTagOverride: "Default" },
    },
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { jobId } = await backup.follow("POST", `${instance}/backup`, body);
      return await finished(backup, jobId, wait);
    } catch (error) {
      if (error.code !== BUSY || attempt === attempts) throw error;
      await wait(30);
    }
  }
}

/** Waits for a job; a failed one is thrown with the code of its first error. */
async function finished(backup, job, wait) {
  for (;;) {
    const { properties } = (await backup.send("GET", job)).answer;
    if (properties.status === "Completed") return properties;
    if (properties.status !== "InProgress") {
      const [{ code, message }] = properties.errorDetails;
      throw Object.assign(new Error(`the backup failed: ${code}: ${message}`), { code });
    }
    await wait(1);
  }
}

/** The ids of the vault's instances whose newest recovery point is older than `limit`. */
export async function overdue(backup, vault, now, limit = DAY) {
  const late = [];
  for (const { id } of await backup.list(`${vault}/backupInstances`)) {
    const points = await backup.list(`${id}/recoveryPoints`);
    const times = points.map((point) => Date.parse(point.properties.recoveryPointTime));
    if (now - Math.max(...times) > limit) late.push(id);
  }
  return late;
}

function seconds(count) {
  return pause(1000 * count);
}
