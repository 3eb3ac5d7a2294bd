// The whole journey: Microsoft.DataProtection by core-client and core-lro, roles by
// @azure/arm-authorization; the bytes are compared at the end.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test, { before } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { all, clients, credential, subscription } from "./sdk.mjs";
import { DataProtection } from "./dataprotection.mjs";
import { Disks } from "./disk.mjs";
import { LOCATION, MIB, UNIT, nameOf, sample, unique } from "./names.mjs";

const JOB_LIMIT = 120_000;
const STORE = { dataStoreType: "OperationalStore", objectType: "DataStoreInfoBase" };
const RESULT = { objectType: "OperationJobExtendedInfo" };
const who = credential();
const { resources, compute, roles } = clients(who);
const disks = new Disks(compute);
const backup = new DataProtection(who);
const groups = Object.fromEntries(["rg", "snap", "target"].map((kind) => [kind, unique(kind)]));
const id = (kind) => `${subscription}/resourceGroups/${groups[kind]}`;
const vault = `${id("rg")}/providers/Microsoft.DataProtection/backupVaults/${unique("vault")}`;
const policy = `${vault}/backupPolicies/${unique("policy")}`;
const image = sample(4 * MIB);
let disk, instance;

/** The policy of the documentation: every four hours, kept for a week. */
const POLICY = {
  properties: {
    objectType: "BackupPolicy", datasourceTypes: ["Microsoft.Compute/disks"],
    policyRules: [
      {
        objectType: "AzureBackupRule", name: "BackupHourly", dataStore: STORE,
        backupParameters: { objectType: "AzureBackupParams", backupType: "Incremental" },
        trigger: {
          objectType: "ScheduleBasedTriggerContext",
          schedule: { repeatingTimeIntervals: ["R/2020-04-05T13:00:00+00:00/PT4H"] },
          taggingCriteria: [
            { isDefault: true, taggingPriority: 99, tagInfo: { tagName: "Default" } },
          ],
        },
      },
      {
        objectType: "AzureRetentionRule", name: "Default", isDefault: true,
        lifecycles: [{
          deleteAfter: { objectType: "AbsoluteDeleteOption", duration: "P7D" },
          sourceDataStore: STORE, targetDataStoreCopySettings: [],
        }],
      },
    ],
  },
};

/** A Datasource that names a disk. */
function datasource(resourceID) {
  return {
    objectType: "Datasource", datasourceType: "Microsoft.Compute/disks", resourceID,
    resourceName: nameOf(resourceID), resourceType: "Microsoft.Compute/disks",
    resourceUri: resourceID, resourceLocation: LOCATION,
  };
}

/** The backup instance. */
function instanceBody() {
  return {
    objectType: "BackupInstance", friendlyName: disk.name, dataSourceInfo: datasource(disk.id),
    policyInfo: {
      policyId: policy, policyParameters: {
        dataStoreParametersList: [{
          objectType: "AzureOperationalStoreParameters", dataStoreType: "OperationalStore",
          resourceGroupId: id("snap"),
        }],
      },
    },
  };
}

/** A restore of a point to a new disk. */
function restoreBody(point, target) {
  return {
    objectType: "AzureBackupRecoveryPointBasedRestoreRequest", recoveryPointId: point,
    sourceDataStoreType: "OperationalStore", restoreTargetInfo: {
      objectType: "RestoreTargetInfo", recoveryOption: "FailIfExists",
      restoreLocation: LOCATION, datasourceInfo: datasource(target),
    },
  };
}

/** Waits for the end of a job, which must be a good one. */
async function ended(jobId) {
  const end = Date.now() + JOB_LIMIT;
  for (;;) {
    const { properties } = await backup.call("GET", jobId);
    if (properties.status !== "InProgress") {
      assert.equal(properties.status, "Completed", JSON.stringify(properties));
      return properties;
    }
    assert.ok(Date.now() < end, `${jobId} still runs`);
    await pause(50);
  }
}

/** One backup; the id of its recovery point. */
async function makePoint() {
  const { jobId } = await backup.follow("POST", `${instance}/backup`, {
    backupRuleOptions: {
      ruleName: "BackupHourly", triggerOption: { retentionTagOverride: "Default" },
    },
  });
  return (await ended(jobId)).extendedInfo.targetRecoverPoint.recoveryPointID;
}

before(async () => {
  for (const name of Object.values(groups)) {
    await resources.resourceGroups.createOrUpdate(name, { location: LOCATION });
  }
  disk = await disks.upload(groups.rg, image);
});

test("a vault, its identity and a policy", async () => {
  const made = await backup.follow("PUT", vault, {
    location: LOCATION, identity: { type: "SystemAssigned" }, properties: {
      storageSettings: [{ datastoreType: "VaultStore", type: "LocallyRedundant" }],
    },
  });
  assert.equal(made.properties.provisioningState, "Succeeded");
  assert.match(made.identity.principalId, /^[0-9a-f-]{36}$/);
  const patched = await backup.follow("PATCH", vault, { tags: { a: "1" } });
  assert.deepEqual(patched.tags, { a: "1" });
  assert.equal((await backup.call("PUT", policy, POLICY)).id, policy);
  assert.equal((await backup.call("GET", policy)).id, policy);
  assert.equal((await backup.call("GET", `${vault}/backupPolicies`)).value.length, 1);
  for (const scope of [subscription, id("rg")]) {
    const { value } = await backup.call(
      "GET", `${scope}/providers/Microsoft.DataProtection/backupVaults`);
    assert.ok(value.some((found) => found.id === vault));
  }
});

test("the roles of the vault's identity", async () => {
  const { identity } = await backup.call("GET", vault);
  const wanted = [
    [disk.id, "Disk Backup Reader"], [id("snap"), "Disk Snapshot Contributor"],
    [id("target"), "Disk Restore Operator"],
  ];
  for (const [scope, name] of wanted) {
    const [role] = await all(
      roles.roleDefinitions.list(scope, { filter: `roleName eq '${name}'` }));
    assert.equal((await roles.roleDefinitions.get(scope, role.name)).roleName, name);
    const made = await roles.roleAssignments.create(scope, randomUUID(), {
      roleDefinitionId: role.id, principalId: identity.principalId,
      principalType: "ServicePrincipal",
    });
    assert.equal((await roles.roleAssignments.get(scope, made.name)).id, made.id);
    const listed = await all(roles.roleAssignments.listForScope(scope, { filter: "atScope()" }));
    assert.ok(listed.some((found) => found.id === made.id));
  }
});

test("a failed operation is shown with its code", async () => {
  const elsewhere = { ...instanceBody(), dataSourceInfo: datasource(`${disk.id}-absent`) };
  await assert.rejects(
    backup.follow("POST", `${vault}/validateForBackup`, { backupInstance: elsewhere }),
    (error) => /UserError|BMSUserError/.test(`${error.code} ${error.message}`));
});

test("protection, two backups and a restore of each", async () => {
  assert.deepEqual(await backup.follow("POST", `${vault}/validateForBackup`, {
    backupInstance: instanceBody(),
  }), RESULT);
  instance = `${vault}/backupInstances/${disk.name}-${randomUUID()}`;
  const made = await backup.follow("PUT", instance, { properties: instanceBody() });
  assert.equal(made.properties.provisioningState, "Succeeded");
  assert.equal((await backup.call("GET", `${vault}/backupInstances`)).value.length, 1);

  const first = await makePoint();
  const changed = Buffer.from(image);
  const writer = await disks.open(groups.rg, disk.name, "Write");
  await writer.uploadPages(Buffer.alloc(UNIT, 0x33), MIB, UNIT);
  changed.fill(0x33, MIB, MIB + UNIT);
  await disks.close(groups.rg, disk.name);
  const second = await makePoint();

  const points = (await backup.call("GET", `${instance}/recoveryPoints`)).value;
  assert.deepEqual(points.map((point) => point.name), [second, first]);
  const shown = await backup.call("GET", `${instance}/recoveryPoints/${first}`);
  assert.equal(shown.properties.recoveryPointId, first);
  for (const [point, bytes] of [[first, image], [second, changed]]) {
    const target = `${id("target")}/providers/Microsoft.Compute/disks/${unique("restored")}`;
    const request = restoreBody(point, target);
    assert.deepEqual(await backup.follow("POST", `${instance}/validateRestore`, {
      restoreRequestObject: request,
    }), RESULT);
    const { jobId } = await backup.follow("POST", `${instance}/restore`, request);
    assert.equal((await ended(jobId)).extendedInfo.recoveryDestination, target);
    assert.ok((await disks.download(groups.target, nameOf(target))).equals(bytes));
  }
  const jobs = (await backup.call("GET", `${vault}/backupJobs`)).value;
  assert.equal(jobs.length, 4);
});

test("stop, suspend and resume", async () => {
  const steps = [
    ["stopProtection", "ProtectionStopped"], ["resumeProtection", "ProtectionConfigured"],
    ["suspendBackups", "BackupsSuspended"], ["resumeBackups", "ProtectionConfigured"],
  ];
  for (const [verb, state] of steps) {
    assert.deepEqual(await backup.follow("POST", `${instance}/${verb}`), RESULT);
    const { properties } = await backup.call("GET", instance);
    assert.equal(properties.currentProtectionState, state);
  }
});

test("a resource guard over the vault", async () => {
  const guard = `${id("target")}/providers/Microsoft.DataProtection/resourceGuards/${unique("g")}`;
  const proxy = `${vault}/backupResourceGuardProxies/DppResourceGuardProxy`;
  const made = await backup.call("PUT", guard, { location: LOCATION, properties: {} });
  assert.ok(made.properties.resourceGuardOperations.length > 0);
  assert.deepEqual((await backup.call("PATCH", guard, { tags: { a: "1" } })).tags, { a: "1" });
  assert.equal((await backup.call("GET", guard)).id, guard);
  for (const scope of [subscription, id("target")]) {
    const { value } = await backup.call(
      "GET", `${scope}/providers/Microsoft.DataProtection/resourceGuards`);
    assert.ok(value.some((found) => found.id === guard));
  }
  const requests = `${guard}/deleteResourceGuardProxyRequests`;
  const [request] = (await backup.call("GET", requests)).value;
  assert.equal((await backup.call("GET", `${requests}/default`)).id, request.id);
  await backup.call("PUT", proxy, { properties: { resourceGuardResourceId: guard } });
  assert.equal((await backup.call("GET", proxy)).properties.resourceGuardResourceId, guard);
  const { value } = await backup.call("GET", `${vault}/backupResourceGuardProxies`);
  assert.equal(value.length, 1);
  // Another request of the guard than the one that stands for this operation.
  await assert.rejects(
    backup.follow("POST", `${instance}/stopProtection`, {
      resourceGuardOperationRequests: [request.id],
    }), (error) => error.code === "BMSUserErrorInvalidInput");
  const { unlockDeleteExpiryTime } = await backup.call("POST", `${proxy}/unlockDelete`, {
    resourceGuardOperationRequests: [request.id],
  });
  assert.ok(Date.parse(unlockDeleteExpiryTime) > Date.now());
  await backup.call("DELETE", proxy);
  await backup.call("DELETE", guard);
  await assert.rejects(backup.call("GET", guard), (error) => error.statusCode === 404);
});

test("sync, the instances of a disk, and the export of jobs", async () => {
  assert.deepEqual(await backup.follow("POST", `${instance}/sync`, {}), RESULT);
  const { value } = await backup.call(
    "GET", `${disk.id}/providers/Microsoft.DataProtection/backupInstances`);
  assert.deepEqual(value.map((found) => found.id), [instance]);
  assert.deepEqual(await backup.follow("POST", `${instance}/validateForModifyBackup`, {
    backupInstance: instanceBody(),
  }), RESULT);
  const result = await backup.follow("POST", `${vault}/exportBackupJobs`);
  const document = await fetch(result.blobUrl + result.blobSasKey);
  assert.equal((await document.json()).value.length, 4);
});

test("what was deleted comes back", async () => {
  await backup.follow("DELETE", instance);
  await assert.rejects(backup.call("GET", instance), (error) => error.statusCode === 404);
  const { value } = await backup.call("GET", `${vault}/deletedBackupInstances`);
  assert.deepEqual(value.map((found) => found.name), [nameOf(instance)]);
  const deleted = `${vault}/deletedBackupInstances/${nameOf(instance)}`;
  assert.equal((await backup.call("GET", deleted)).name, nameOf(instance));
  assert.deepEqual(await backup.follow("POST", `${deleted}/undelete`), RESULT);
  await backup.follow("POST", `${instance}/resumeProtection`);
  const { properties } = await backup.call("GET", instance);
  assert.equal(properties.currentProtectionState, "ProtectionConfigured");
});

test("everything is deleted", async () => {
  await backup.follow("DELETE", instance);
  await backup.call("DELETE", policy);
  await backup.follow("DELETE", vault);
  await assert.rejects(backup.call("GET", vault), (error) => error.statusCode === 404);
  const newer = new DataProtection(who, "2025-09-01");
  const vaults = `${subscription}/providers/Microsoft.DataProtection/locations/${LOCATION}` +
    "/deletedVaults";
  const gone = (await newer.call("GET", vaults)).value
    .filter((found) => found.properties.originalBackupVaultId === vault);
  assert.equal(gone.length, 1);
  assert.equal((await newer.call("GET", gone[0].id)).id, gone[0].id);
  for (const name of Object.values(groups)) {
    await resources.resourceGroups.beginDeleteAndWait(name);
  }
});
