// The unmodified SDK clients of a service, and a protected disk in it.

import { randomUUID } from "node:crypto";

import { AuthorizationManagementClient } from "@azure/arm-authorization";
import { ComputeManagementClient } from "@azure/arm-compute";
import { ResourceManagementClient } from "@azure/arm-resources";
import { ClientSecretCredential } from "@azure/identity";

import { Backup } from "./backup.mjs";

const LOCATION = "westus";
const DISK_BACKUP_READER = "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24";
const DISK_SNAPSHOT_CONTRIBUTOR = "7efff54f-a5b4-42b5-a1c5-5411624893ce";
const STORE = { dataStoreType: "OperationalStore", objectType: "DataStoreInfoBase" };

/** The clients. Only these lines tell them that this is not Azure. */
export function clients({ settings, ca }) {
  const { BASE_URL, TENANT_ID, CLIENT_ID, CLIENT_SECRET, SUBSCRIPTION_ID } = settings;
  const tlsOptions = { ca };
  const who = new ClientSecretCredential(TENANT_ID, CLIENT_ID, CLIENT_SECRET, {
    authorityHost: BASE_URL, disableInstanceDiscovery: true, tlsOptions,
  });
  const scope = `${BASE_URL}/.default`;
  const options = {
    endpoint: BASE_URL, credentialScopes: [scope], credentials: { scopes: [scope] }, tlsOptions,
  };
  return {
    subscription: `/subscriptions/${SUBSCRIPTION_ID}`,
    resources: new ResourceManagementClient(who, SUBSCRIPTION_ID, options),
    compute: new ComputeManagementClient(who, SUBSCRIPTION_ID, options),
    roles: new AuthorizationManagementClient(who, SUBSCRIPTION_ID, options),
    backup: new Backup(who, options),
  };
}

/** Protects an empty disk of one GiB; the ids of vault and instance. */
export async function protect({ subscription, resources, compute, roles, backup }) {
  const group = (await resources.resourceGroups.createOrUpdate("example", { location: LOCATION })).id;
  const disk = await compute.disks.createOrUpdate("example", "disk", {
    location: LOCATION, diskSizeGB: 1, creationData: { createOption: "Empty" },
  });
  const vault = `${group}/providers/Microsoft.DataProtection/backupVaults/vault`;
  await backup.follow("PUT", vault, {
    location: LOCATION, identity: { type: "SystemAssigned" },
    properties: {
      storageSettings: [{ datastoreType: "VaultStore", type: "LocallyRedundant" }],
    },
  });
  const { principalId } = (await backup.send("GET", vault)).answer.identity;
  const definitions = `${subscription}/providers/Microsoft.Authorization/roleDefinitions`;
  for (const role of [DISK_BACKUP_READER, DISK_SNAPSHOT_CONTRIBUTOR]) {
    await roles.roleAssignments.create(group, randomUUID(), {
      roleDefinitionId: `${definitions}/${role}`, principalId, principalType: "ServicePrincipal",
    });
  }
  const policyId = `${vault}/backupPolicies/policy`;
  await backup.send("PUT", policyId, { properties: policy() });
  const instance = `${vault}/backupInstances/disk`;
  await backup.follow("PUT", instance, { properties: instanceOf(disk.id, policyId, group) });
  return { vault, instance };
}

/** Backups every four hours, kept for seven days. */
function policy() {
  return {
    objectType: "BackupPolicy", datasourceTypes: ["Microsoft.Compute/disks"],
    policyRules: [
      {
        objectType: "AzureBackupRule", name: "BackupHourly", dataStore: STORE,
        backupParameters: { objectType: "AzureBackupParams", backupType: "Incremental" },
        trigger: {
          objectType: "ScheduleBasedTriggerContext",
          schedule: { repeatingTimeIntervals: ["R/2024-01-01T00:00:00+00:00/PT4H"] },
          taggingCriteria: [
            { isDefault: true, taggingPriority: 99, tagInfo: { tagName: "Default" } },
          ],
        },
      },
      {
        objectType: "AzureRetentionRule", name: "Default", isDefault: true,
        lifecycles: [
          {
            deleteAfter: { objectType: "AbsoluteDeleteOption", duration: "P7D" },
            sourceDataStore: STORE, targetDataStoreCopySettings: [],
          },
        ],
      },
    ],
  };
}

function instanceOf(disk, policyId, snapshotGroup) {
  return {
    objectType: "BackupInstance", friendlyName: "disk",
    dataSourceInfo: {
      objectType: "Datasource", datasourceType: "Microsoft.Compute/disks", resourceID: disk,
      resourceName: "disk", resourceUri: disk, resourceType: "Microsoft.Compute/disks",
      resourceLocation: LOCATION,
    },
    policyInfo: {
      policyId,
      policyParameters: {
        dataStoreParametersList: [
          {
            objectType: "AzureOperationalStoreParameters", dataStoreType: "OperationalStore",
            resourceGroupId: snapshotGroup,
          },
        ],
      },
    },
  };
}
