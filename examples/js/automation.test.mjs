// Tests of the automation: the good way, a busy service, a failed job, and the passing of days.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { BUSY, backupNow, overdue } from "./automation.mjs";
import { clients, protect } from "./stage.mjs";
import { Service } from "./tresor.mjs";

const TRIGGER = "BackupInstances_AdhocBackup";
let service, azure, vault, instance;

before(async () => {
  service = await Service.start();
  azure = clients(service);
});
beforeEach(async () => {
  await service.reset();
  ({ vault, instance } = await protect(azure));
});
after(() => service?.stop());

/** Waits by moving the service's clock instead of ours; running jobs end meanwhile. */
function waiting() {
  const waits = [];
  const wait = async (seconds) => {
    waits.push(seconds);
    await service.advance(`PT${seconds}S`);
  };
  return { waits, wait };
}

test("a backup makes a recovery point", async () => {
  const job = await backupNow(azure.backup, instance, waiting());
  const points = await azure.backup.list(`${instance}/recoveryPoints`);
  const made = job.extendedInfo.targetRecoverPoint.recoveryPointID;
  assert.deepEqual(points.map((point) => point.name), [made]);
});

for (const where of ["request", "operation"]) {
  test(`a busy instance is tried again: ${where}`, async () => {
    await service.fail(TRIGGER, BUSY, { where, times: 2 });
    const { waits, wait } = waiting();
    const job = await backupNow(azure.backup, instance, { wait });
    assert.equal(job.status, "Completed");
    assert.deepEqual(waits.slice(0, 2), [30, 30]);
  });
}

test("patience ends", async () => {
  await service.fail(TRIGGER, BUSY, { times: 3 });
  await assert.rejects(backupNow(azure.backup, instance, waiting()), { code: BUSY });
  assert.deepEqual(await azure.backup.list(`${instance}/recoveryPoints`), []);
});

test("a failed job is told with its code", async () => {
  const code = "UserErrorMissingRequiredPermissions";
  await service.fail(TRIGGER, code, { where: "job" });
  await assert.rejects(backupNow(azure.backup, instance, waiting()), { code });
});

test("a disk without a recent point is overdue", async () => {
  const late = async () => overdue(azure.backup, vault, await service.now());
  assert.deepEqual(await late(), [instance], "it was never backed up");
  await backupNow(azure.backup, instance, waiting());
  assert.deepEqual(await late(), []);
  await service.advance("P1D");
  await service.advance("PT2S");
  assert.deepEqual(await late(), [instance]);
});

test("a throttled request is tried again by the SDK itself", async () => {
  await service.fail("Disks_Get", "QuotaExceeded");
  assert.equal((await azure.compute.disks.get("example", "disk")).diskSizeGB, 1);
});
