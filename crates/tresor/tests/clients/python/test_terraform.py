"""The rules of Terraform's azurerm provider, by raw HTTP.

Terraform itself is not run here. Its Go client insists on more than the Azure SDKs do, and on
other things (hashicorp/go-azure-sdk: sdk/client/resourcemanager/poller_lro.go, poller_delete.go;
hashicorp/terraform-provider-azurerm: internal/services/dataprotection): what it sends is sent
here, and what it would fail on fails here.
"""

import base64
import json
import time
import urllib.parse
import uuid

import pytest

from journey import DISK_BACKUP_READER, LOCATION, MIB, name_of, sample, unique
from wire import Wire

AGENT = "terraform-rules/1"
DPP = "2025-07-01"
DISKS, SNAPSHOTS, GROUPS = "2023-04-02", "2022-03-02", "2023-07-01"
ROLES, DEFINITIONS = "2022-04-01", "2022-05-01-preview"
JSON = "application/json"
LIMIT = 60
# The words that its poller knows; any other ends the run with an error.
RUNNING = {"inprogress", "accepted", "active", "creating", "running", "updating", "provisioning",
           "working", "created"}
DONE = {"succeeded", "completed"}
OPERATIONAL = {"dataStoreType": "OperationalStore", "objectType": "DataStoreInfoBase"}


class Go:
    """Sends and polls as the provider's client does."""

    def __init__(self, settings):
        self.wire = Wire(settings, AGENT)
        self.root = f"/subscriptions/{settings['SUBSCRIPTION_ID']}"

    def send(self, method, path, body=None, api=DPP, expected=(200, 201, 202, 204)):
        """One request; its status must be an expected one."""
        reply = self.wire.request(method, path, body, api, headers={
            "Accept": f"{JSON}; charset=utf-8; IEEE754Compatible=false",
            "Content-Type": f"{JSON}; charset=utf-8", "Odata-Maxversion": "4.0",
            "Odata-Version": "4.0"})
        assert reply.status in expected, (method, path, reply)
        return reply

    def get(self, path, api=DPP):
        """A resource that must be there."""
        return self.send("GET", path, None, api, (200,)).json()

    def absent(self, path, api=DPP):
        """What stands before each create: a real 404, or Terraform wants an import."""
        reply = self.send("GET", path, None, api, (404,))
        assert reply.headers["content-type"].startswith(JSON)

    def create(self, path, body, api=DPP):
        """Looks, makes, polls to the end and reads."""
        self.absent(path, api)
        self.finish(self.send("PUT", path, body, api))
        return self.get(path, api)

    def finish(self, reply):
        """Polls a long operation: path and query of Azure-AsyncOperation, else of Location."""
        url = reply.headers.get("azure-asyncoperation") or reply.headers.get("location")
        if not url:
            assert reply.status != 202, "no polling URL found in response"
            return
        parts = urllib.parse.urlsplit(url)
        assert parts.scheme and parts.netloc, f"the polling URL {url!r} is not absolute"
        target = f"{parts.path}?{parts.query}"
        end = time.monotonic() + LIMIT
        while not self.is_done(self.wire.request("GET", target)):
            assert time.monotonic() < end, f"{target} is not done"
            time.sleep(0.02)

    @staticmethod
    def is_done(reply):
        """One step of the poller."""
        if "retry-after" in reply.headers:
            # What is no integer counts for nothing, and 10 s are waited then.
            assert int(reply.headers["retry-after"]) >= 1
        if reply.status in (202, 404):
            return False
        assert reply.status in (200, 201, 204), reply
        if reply.status == 200 and not reply.body:
            return True
        assert JSON in reply.headers["content-type"].lower(), reply.headers
        body = reply.json()
        state = (body.get("properties") or {}).get("provisioningState")
        word = (state or body["status"]).lower()
        assert word in RUNNING | DONE, f"a status that Terraform does not know: {body}"
        return word in DONE

    def delete(self, path, api=DPP):
        """Deletes; the resource itself is polled until it is gone, whatever the headers say."""
        self.send("DELETE", path, None, api, (200, 202, 204))
        end = time.monotonic() + LIMIT
        while self.send("GET", path, None, api, (200, 404)).status == 200:
            assert time.monotonic() < end, f"{path} is still there"
            time.sleep(0.02)

    def group(self, kind="rg"):
        """`azurerm_resource_group`."""
        path = f"{self.root}/resourceGroups/{unique(kind)}"
        made = self.create(path, {"location": LOCATION, "tags": {"made": "here"}}, GROUPS)
        assert (made["location"], made["tags"]) == (LOCATION, {"made": "here"})
        return path

    def protection(self, instance):
        """The state that `azurerm_data_protection_backup_instance_disk` waits for."""
        end = time.monotonic() + LIMIT
        while True:
            status = self.get(instance)["properties"]["protectionStatus"]["status"]
            if status == "ProtectionConfigured":
                return
            assert status == "ConfiguringProtection", f"Terraform gives up at {status}"
            assert time.monotonic() < end, "the disk is not protected"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def go(shared_server):
    return Go(shared_server.settings)


def claims(token):
    """The claims of a token."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_metadata(go):
    """`metadata_host`: the cloud's description, and where it sends the token request."""
    reply = go.wire.request("GET", "/metadata/endpoints", api="2022-09-01", token=None)
    body = reply.json()
    for name in ("name", "resourceManager", "microsoftGraphResourceId"):
        assert body[name], name
    login = body["authentication"]
    # Another provider or tenant is taken for an Azure Stack, which Terraform refuses.
    assert (login["identityProvider"], login["tenant"]) == ("AAD", "common")
    assert login["audiences"] and not login["loginEndpoint"].endswith("/")
    endpoint = urllib.parse.urlsplit(login["loginEndpoint"])
    tenant = go.wire.settings["TENANT_ID"]
    for audience in (body["resourceManager"], body["microsoftGraphResourceId"]):
        scope = audience.rstrip("/") + "/.default"
        reply = go.wire.post_token(f"{endpoint.path}/{tenant}/oauth2/v2.0/token", scope=scope)
        assert reply.status == 200, reply
        read = claims(reply.json()["access_token"])
        assert read["tid"] == tenant and read["appid"] == go.wire.settings["CLIENT_ID"]
        assert uuid.UUID(read["oid"])


def test_providers_are_registered(go):
    found = {p["namespace"]: p for p in go.get(f"{go.root}/providers", "2022-09-01")["value"]}
    for name in ("Microsoft.Compute", "Microsoft.DataProtection", "Microsoft.Authorization"):
        assert found[name]["registrationState"] == "Registered"


def test_groups(go):
    group = go.group()
    path = f"{group}/resources?$expand=provisioningState&$top=10"
    assert go.get(path, "2023-07-01")["value"] == [], "a group with resources is not deleted"
    go.delete(group, GROUPS)
    go.absent(group, GROUPS)


def test_disks_and_snapshots(go):
    """`azurerm_managed_disk` and `azurerm_snapshot`."""
    group = go.group()
    disk = f"{group}/providers/Microsoft.Compute/disks/{unique('disk')}"
    body = {"location": LOCATION, "sku": {"name": "Standard_LRS"}, "tags": {"a": "b"},
            "zones": None, "properties": {"creationData": {
                "createOption": "Empty", "performancePlus": False}, "diskSizeGB": 1,
                "optimizedForFrequentAttach": False, "networkAccessPolicy": "AllowAll",
                "publicNetworkAccess": "Enabled"}}
    made = go.create(disk, body, DISKS)
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert made["properties"]["creationData"]["createOption"] == "Empty"
    for name in ("diskSizeGB", "networkAccessPolicy", "publicNetworkAccess"):
        assert made["properties"][name] == body["properties"][name], name
    assert (made["sku"]["name"], made["tags"]) == ("Standard_LRS", {"a": "b"})
    snapshot = f"{group}/providers/Microsoft.Compute/snapshots/{unique('snap')}"
    made = go.create(snapshot, {"location": LOCATION, "tags": {}, "properties": {
        "creationData": {"createOption": "Copy", "sourceUri": None, "sourceResourceId": disk},
        "incremental": True}}, SNAPSHOTS)
    assert made["properties"]["creationData"]["sourceResourceId"] == disk
    assert made["properties"]["incremental"] is True
    go.finish(go.send("PATCH", disk, {"tags": {"c": "d"}, "properties": {"diskSizeGB": 2}},
                      DISKS))
    assert go.get(disk, DISKS)["properties"]["diskSizeGB"] == 2
    go.delete(snapshot, SNAPSHOTS)
    go.delete(disk, DISKS)
    go.delete(group, GROUPS)


def vault_of(go, group):
    """`azurerm_data_protection_backup_vault` with an identity; its id and its principal."""
    path = f"{group}/providers/Microsoft.DataProtection/backupVaults/{unique('vault')}"
    body = {"location": LOCATION, "identity": {"type": "SystemAssigned"}, "tags": {"a": "b"},
            "properties": {
                "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}],
                "featureSettings": {},
                "securitySettings": {
                    "immutabilitySettings": {"state": "Disabled"},
                    "softDeleteSettings": {"retentionDurationInDays": 14, "state": "On"}}}}
    made = go.create(path, body)
    properties = made["properties"]
    for name in ("storageSettings", "securitySettings"):
        sent, read = body["properties"][name], properties[name]
        assert contains(read, sent), (name, read)
    assert made["tags"] == {"a": "b"} and made["identity"]["type"] == "SystemAssigned"
    assert uuid.UUID(made["identity"]["tenantId"])
    return path, made["identity"]["principalId"]


def contains(read, sent):
    """Whether everything that was sent came back as it was."""
    if isinstance(sent, dict):
        return isinstance(read, dict) and all(
            name in read and contains(read[name], value) for name, value in sent.items())
    if isinstance(sent, list):
        return len(read) == len(sent) and all(map(contains, read, sent))
    return read == sent


def policy_body(intervals, zone):
    """`azurerm_data_protection_backup_policy_disk` with a default and a daily rule."""
    def keep(name, duration, default):
        return {"objectType": "AzureRetentionRule", "name": name, "isDefault": default,
                "lifecycles": [{"deleteAfter": {"objectType": "AbsoluteDeleteOption",
                                                "duration": duration},
                                "sourceDataStore": OPERATIONAL,
                                "targetDataStoreCopySettings": []}]}
    daily = {"criteria": [{"objectType": "ScheduleBasedBackupCriteria",
                           "absoluteCriteria": ["FirstOfDay"]}],
             "isDefault": False, "taggingPriority": 25,
             "tagInfo": {"id": "Daily_", "tagName": "Daily"}}
    default = {"isDefault": True, "taggingPriority": 99,
               "tagInfo": {"id": "Default_", "tagName": "Default"}}
    return {"properties": {
        "objectType": "BackupPolicy", "datasourceTypes": ["Microsoft.Compute/disks"],
        "policyRules": [
            {"objectType": "AzureBackupRule", "name": "BackupIntervals", "dataStore": OPERATIONAL,
             "backupParameters": {"objectType": "AzureBackupParams", "backupType": "Incremental"},
             "trigger": {"objectType": "ScheduleBasedTriggerContext",
                         "schedule": {"repeatingTimeIntervals": intervals, "timeZone": zone},
                         "taggingCriteria": [default, daily]}},
            keep("Default", "P7D", True), keep("Daily", "P30D", False)]}}


@pytest.fixture(scope="module")
def place(go, journey):
    """A vault, a disk and the groups around them."""
    group, snapshots = go.group(), go.group("snap")
    vault, principal = vault_of(go, group)
    disk = journey.disk(group, sample(MIB))
    return {"group": group, "snapshots": snapshots, "vault": vault, "principal": principal,
            "disk": disk}


@pytest.mark.parametrize("zone", ["", "UTC", "W. Europe Standard Time"])
def test_a_policy_is_read_as_it_was_sent(go, place, zone):
    """Every field of a policy forces a new one when it differs: an empty zone too."""
    path = f"{place['vault']}/backupPolicies/{unique('policy')}"
    intervals = ["R/2024-05-23T02:30:00+00:00/PT4H"]
    body = policy_body(intervals, zone)
    made = go.create(path, body)
    assert contains(made["properties"], body["properties"]), made
    go.send("DELETE", path, expected=(200, 204))
    go.absent(path)


def test_roles(go, place):
    """`azurerm_role_assignment`, with the role's name and with its id."""
    scope = place["group"]
    (role,) = go.get(f"{scope}/providers/Microsoft.Authorization/roleDefinitions?$filter="
                     "roleName eq 'Disk Backup Reader'", DEFINITIONS)["value"]
    assert role["id"].endswith(DISK_BACKUP_READER)
    shown = go.get(role["id"], DEFINITIONS)
    assert shown["properties"]["roleName"] == "Disk Backup Reader"
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    body = {"properties": {"principalId": place["principal"], "roleDefinitionId": role["id"],
                           "principalType": "ServicePrincipal"}}
    go.absent(path, ROLES)
    go.send("PUT", path, body, ROLES, (200, 201))
    read = go.get(path, ROLES)["properties"]
    assert contains(read, body["properties"]) and read["scope"] == scope
    # It is read back through its principal too.
    listed = go.get(f"{scope}/providers/Microsoft.Authorization/roleAssignments?$filter="
                    f"principalId eq '{place['principal']}'", ROLES)["value"]
    assert [found["id"] for found in listed] == [path]
    go.send("DELETE", path, None, ROLES, (200, 204))
    go.absent(path, ROLES)


def instance_body(place, policy):
    """`azurerm_data_protection_backup_instance_disk`; the empty word is of the Go model."""
    disk = place["disk"]
    return {"properties": {
        "objectType": "", "friendlyName": f"{name_of(disk)}-instance",
        "dataSourceInfo": {
            "datasourceType": "Microsoft.Compute/disks", "objectType": "Datasource",
            "resourceID": disk, "resourceLocation": LOCATION, "resourceName": name_of(disk),
            "resourceType": "Microsoft.Compute/disks", "resourceUri": disk},
        "policyInfo": {"policyId": policy, "policyParameters": {"dataStoreParametersList": [{
            "objectType": "AzureOperationalStoreParameters", "dataStoreType": "OperationalStore",
            "resourceGroupId": place["snapshots"]}]}}}}


def test_the_life_of_a_protected_disk(go, journey, place):
    """Create, read, change the policy, destroy, in Terraform's order."""
    journey.roles(place["disk"], place["snapshots"], place["group"], place["principal"])
    intervals = ["R/2024-05-23T02:30:00+00:00/PT4H"]
    policies = [f"{place['vault']}/backupPolicies/{unique('policy')}" for _ in range(2)]
    for policy in policies:
        go.create(policy, policy_body(intervals, ""))
    instance = f"{place['vault']}/backupInstances/{unique('instance')}"
    body = instance_body(place, policies[0])
    go.create(instance, body)
    go.protection(instance)
    # Each poll while a policy changes must show one of two states too.
    changed = instance_body(place, policies[1])
    reply = go.send("PUT", instance, changed)
    states = {reply.json()["properties"]["protectionStatus"]["status"]}
    go.finish(reply)
    go.protection(instance)
    assert states <= {"ConfiguringProtection", "ProtectionConfigured"}, states
    read = go.get(instance)["properties"]
    del changed["properties"]["objectType"]
    assert contains(read, changed["properties"]), read
    assert read["currentProtectionState"] == "ProtectionConfigured"
    # Soft delete is on: what is deleted must still be a 404 where it was.
    go.delete(instance)
    go.absent(instance)
    for policy in policies:
        go.send("DELETE", policy, expected=(200, 204))
    go.delete(place["vault"])


def test_a_failed_operation_says_why(go, journey):
    """A vault without roles: the poller reads `error` of the status document."""
    group, snapshots = go.group(), go.group("snap")
    vault, _ = vault_of(go, group)
    disk = journey.disk(group, sample(MIB))
    policy = f"{vault}/backupPolicies/{unique('policy')}"
    go.create(policy, policy_body(["R/2024-05-23T02:30:00+00:00/PT4H"], ""))
    body = instance_body({"disk": disk, "snapshots": snapshots}, policy)
    reply = go.send("POST", f"{vault}/validateForBackup", {"backupInstance": body["properties"]},
                    expected=(202,))
    status = go.wire.outcome(reply)
    assert status["status"] == "Failed", status
    assert status["error"]["code"] == "UserErrorMissingRequiredPermissions"
    assert status["error"]["message"]
