"""Resource guards, by the SDK and by raw HTTP: what stands behind a guard, and what goes round it."""

import datetime

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.dataprotection import models

from journey import (
    LOCATION, instance_body, name_of, policy_body, restore_body, sample, unique)
from test_sdk import clients, credential
from wire import ARTICLE, DPP, GROUPS

HERE = "Microsoft.DataProtection/backupVaults/"
DELETE_PROXY = HERE + "backupResourceGuardProxies/delete"
RESTORE = HERE + "backupInstances/restore/action"
# Every operation that can be excluded, as Microsoft's article and Terraform's provider list them.
OPTIONAL = [HERE + tail for tail in (
    "backupInstances/delete", "backupInstances/restore/action",
    "backupInstances/stopProtection/action", "backupInstances/suspendBackups/action",
    "backupInstances/write", "write#modifyEncryptionSettings", "write#reduceImmutabilityState")]
MANDATORY = [DELETE_PROXY, HERE + "write#reduceSoftDeleteSecurity"]
# The requests that the SDK has methods for, in its spelling and Azure's.
KINDS = {"delete_resource_guard_proxy": "deleteResourceGuardProxyRequests",
         "disable_soft_delete": "disableSoftDeleteRequests",
         "update_protected_item": "updateProtectedItemRequests",
         "update_protection_policy": "updateProtectionPolicyRequests",
         "delete_protected_item": "deleteProtectedItemRequests",
         "backup_security_pin": "getBackupSecurityPINRequests"}
PROXY = "DppResourceGuardProxy"


@pytest.fixture(scope="module")
def sdk(shared_server):
    """The SDK's clients, as the owner."""
    return clients(shared_server.settings, credential(shared_server.settings))


def guard_path(group, name="guard"):
    """The id of a guard."""
    return f"{group}/providers/Microsoft.DataProtection/resourceGuards/{unique(name)}"


@pytest.fixture
def guarded(wire, journey):
    """A protected disk in a vault under a guard of another group: (protected, guard, proxy)."""
    protected = journey.protect(sample(1 << 20))
    guard = guard_path(journey.group("security"))
    assert wire.request("PUT", guard, {"location": LOCATION}, DPP).status == 201
    proxy = f"{protected.vault}/backupResourceGuardProxies/{PROXY}"
    body = {"properties": {"resourceGuardResourceId": guard}}
    assert wire.request("PUT", proxy, body, DPP).status == 200
    return protected, guard, proxy


def parts(resource):
    """Group and name of a resource."""
    words = resource.split("/")
    return words[4], words[8]


def requests_of(proxy):
    """operation -> request id, as a proxy shows them."""
    details = proxy.properties.resource_guard_operation_details
    return {d.vault_critical_operation: d.default_resource_request for d in details}


# ---- by the SDK


def test_guards_by_the_sdk(sdk, journey):
    group, guards = journey.group("security"), sdk.backup.resource_guards
    group_name, name = name_of(group), unique("guard")
    wanted = models.ResourceGuardResource(
        location=LOCATION, tags={"a": "b"}, properties=models.ResourceGuard(
            vault_critical_operation_exclusion_list=[RESTORE]))
    made = guards.put(group_name, name, wanted)
    assert (made.name, made.location, made.tags) == (name, LOCATION, {"a": "b"})
    assert made.type == "Microsoft.DataProtection/resourceGuards"
    assert made.properties.provisioning_state == "Succeeded"
    operations = {o.vault_critical_operation: o.request_resource_type
                  for o in made.properties.resource_guard_operations}
    assert set(operations) == set(OPTIONAL + MANDATORY) - {RESTORE}
    assert all(kind.startswith(made.type + "/") for kind in operations.values())
    assert guards.get(group_name, name) == made
    assert [g.id for g in guards.get_resources_in_resource_group(group_name)] == [made.id]
    assert made.id in {g.id for g in guards.get_resources_in_subscription()}
    patched = guards.patch(group_name, name, models.PatchResourceGuardInput(tags={"c": "d"}))
    assert patched.tags == {"c": "d"}
    assert patched.properties.vault_critical_operation_exclusion_list == [RESTORE]
    for method, kind in KINDS.items():
        prefix = "get_" + method
        [listed] = getattr(guards, f"{prefix}_requests_objects")(group_name, name)
        one = getattr(guards, f"get_default_{method}_requests_object")(
            group_name, name, "default")
        assert listed == one
        assert (one.name, one.id) == ("default", f"{made.id}/{kind}/default")
        assert one.type == f"Microsoft.DataProtection/resourceGuards/{kind}"
    guards.delete(group_name, name)
    guards.delete(group_name, name)
    with pytest.raises(ResourceNotFoundError):
        guards.get(group_name, name)


def test_a_proxy_by_the_sdk(sdk, wire, journey):
    """A vault comes under a guard, says so, and leaves it after unlockDelete."""
    vault, _ = journey.vault(journey.group())
    guard = guard_path(journey.group("security"))
    assert wire.request("PUT", guard, {"location": LOCATION}, DPP).status == 201
    (group, name), proxies = parts(vault), sdk.backup.dpp_resource_guard_proxy
    vaults = sdk.backup.backup_vaults
    assert vaults.get(group, name).properties.is_vault_protected_by_resource_guard is False
    made = proxies.create_or_update(group, name, PROXY, models.ResourceGuardProxyBaseResource(
        properties=models.ResourceGuardProxyBase(resource_guard_resource_id=guard)))
    assert made.properties.resource_guard_resource_id == guard
    assert made.properties.last_updated_time
    requests = requests_of(made)
    assert set(requests) == set(OPTIONAL + MANDATORY)
    # What az and Az.DataProtection look for in these ids.
    assert requests[DELETE_PROXY] == f"{guard}/deleteResourceGuardProxyRequests/default"
    assert requests[OPTIONAL[0]] == f"{guard}/deleteBackupInstanceRequests/default"
    assert proxies.get(group, name, PROXY) == made
    assert [p.id for p in proxies.list(group, name)] == [made.id]
    assert vaults.get(group, name).properties.is_vault_protected_by_resource_guard is True
    [listed] = [v for v in vaults.get_in_subscription() if v.id == vault]
    assert listed.properties.is_vault_protected_by_resource_guard is True
    until = proxies.unlock_delete(group, name, PROXY, models.UnlockDeleteRequest(
        resource_guard_operation_requests=[requests[DELETE_PROXY]])).unlock_delete_expiry_time
    left = datetime.datetime.fromisoformat(until) - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(minutes=13) < left < datetime.timedelta(minutes=16)
    proxies.delete(group, name, PROXY)
    proxies.delete(group, name, PROXY)
    with pytest.raises(ResourceNotFoundError):
        proxies.get(group, name, PROXY)
    assert vaults.get(group, name).properties.is_vault_protected_by_resource_guard is False


def test_requests_are_named_by_the_sdk(sdk, guarded):
    """The right request of the guard passes, every other is refused and names the right one."""
    protected, _, proxy = guarded
    (group, vault), instance = parts(protected.vault), name_of(protected.instance)
    instances = sdk.backup.backup_instances
    requests = requests_of(sdk.backup.dpp_resource_guard_proxy.get(group, vault, name_of(proxy)))
    pauses = [
        (instances.begin_stop_protection, models.StopProtectionRequest,
         HERE + "backupInstances/stopProtection/action"),
        (instances.begin_suspend_backups, models.SuspendBackupRequest,
         HERE + "backupInstances/suspendBackups/action")]
    for begin, body, operation in pauses:
        right = requests.pop(operation)
        for wrong in requests.values():
            with pytest.raises(HttpResponseError) as caught:
                begin(group, vault, instance, body(resource_guard_operation_requests=[wrong]))
            assert caught.value.status_code == 400
            assert caught.value.error.code == "BMSUserErrorInvalidInput"
            assert right in caught.value.message
        begin(group, vault, instance,
              body(resource_guard_operation_requests=[right.upper()])).result()
        requests[operation] = right
        instances.begin_resume_protection(group, vault, instance).result()
    state = instances.get(group, vault, instance).properties.current_protection_state
    assert state == "ProtectionConfigured"


# ---- by raw HTTP


def wrong_request(wire, guard, method, url, body, where):
    """A request that names another request of the guard is refused; the right one is told."""
    wrong = f"{guard}/dppModifyEncryptionSettingsRequests/default"
    inner = body
    for name in where:
        inner = inner[name]
    inner["resourceGuardOperationRequests"] = [wrong]
    for api in (DPP, "2022-12-01"):
        reply = wire.request(method, url, body, api)
        assert (reply.status, reply.code) == (400, "BMSUserErrorInvalidInput"), reply
        assert "resourceGuardOperationRequests" in reply.text and guard in reply.text
    del inner["resourceGuardOperationRequests"]


def test_every_protected_operation_asks_the_guard(wire, journey, guarded):
    """By a wrong request id, which only a vault under a guard refuses; nothing changes."""
    protected, guard, proxy = guarded
    instance, vault = protected.instance, protected.vault
    locked = {"properties": {"securitySettings": {"immutabilitySettings": {"state": "Unlocked"}}}}
    assert wire.request("PATCH", vault, locked, DPP).status == 200
    point = journey.point_of(journey.backup(instance))
    other = journey.policy(vault, body=policy_body(duration="P8D"))
    before = [wire.get(path, DPP) for path in (vault, instance, proxy)]
    change = {"properties": instance_body(protected.disk, other, protected.snapshots)}
    wrong_request(wire, guard, "PUT", instance, change, ("properties",))
    restore = restore_body(point, journey.disk_path(protected.target, "restored"))
    wrong_request(wire, guard, "POST", f"{instance}/restore", restore, ())
    for verb in ("stopProtection", "suspendBackups"):
        wrong_request(wire, guard, "POST", f"{instance}/{verb}", {}, ())
    for settings in ({"softDeleteSettings": {"state": "Off"}},
                     {"immutabilitySettings": {"state": "Disabled"}}):
        patch = {"properties": {"securitySettings": settings}}
        wrong_request(wire, guard, "PATCH", vault, patch, ("properties",))
        put = {"location": LOCATION, "properties": {
            "storageSettings": before[0]["properties"]["storageSettings"],
            "securitySettings": settings}}
        wrong_request(wire, guard, "PUT", vault, put, ("properties",))
    unlock = {"resourceToBeDeleted": instance}
    url = f"{proxy}/unlockDelete"
    wrong = f"{guard}/dppTriggerRestoreRequests/default"
    reply = wire.request(
        "POST", url, {**unlock, "resourceGuardOperationRequests": [wrong]}, DPP)
    assert (reply.status, reply.code) == (400, "BMSUserErrorInvalidInput"), reply
    assert [wire.get(path, DPP) for path in (vault, instance, proxy)] == before
    # What weakens nothing asks nobody, whatever it names.
    stronger = {"properties": {"resourceGuardOperationRequests": [wrong], "securitySettings": {
        "softDeleteSettings": {"state": "On", "retentionDurationInDays": 30}}}}
    assert wire.request("PATCH", vault, stronger, DPP).status == 200
    # The owner may do it all, as owners may; the guard's own request is named.
    journey.put_instance(instance, change["properties"])
    named = {**restore, "resourceGuardOperationRequests": [wrong]}
    job = wire.wait_job(wire.start_job(f"{instance}/restore", named, DPP))
    assert job["properties"]["status"] == "Completed", job


def test_nothing_goes_round_a_guard(wire, guarded):
    """Not the deletion of the guard, the vault or their groups, nor a second proxy."""
    protected, guard, proxy = guarded
    for path, api in ((guard, DPP), (guard, ARTICLE), (protected.vault, DPP),
                      (protected.vault, ARTICLE)):
        reply = wire.request("DELETE", path, api=api)
        assert (reply.status, reply.code) == (409, "UserErrorResourceGuardInUse"), reply
        assert proxy in reply.text
    reply = wire.request("DELETE", guard.split("/providers/")[0], api=GROUPS)
    assert (reply.status, reply.code) == (409, "UserErrorResourceGuardInUse"), reply
    assert wire.request("DELETE", protected.group, api=GROUPS).status == 409
    second = {"properties": {"resourceGuardResourceId": guard}}
    reply = wire.request("PUT", proxy + "2", second, DPP)
    assert (reply.status, reply.code) == (400, "BMSUserErrorInvalidInput"), reply
    assert wire.request("GET", proxy + "2", api=DPP).status == 404
    assert wire.get(proxy, DPP)["properties"]["resourceGuardResourceId"] == guard


@pytest.mark.parametrize("operation", MANDATORY + [
    "Microsoft.RecoveryServices/vaults/backupconfig/write", "restore", "", "*"])
def test_what_cannot_be_excluded(wire, journey, operation):
    guard = guard_path(journey.group("security"))
    body = {"location": LOCATION,
            "properties": {"vaultCriticalOperationExclusionList": OPTIONAL + [operation]}}
    reply = wire.request("PUT", guard, body, DPP)
    assert reply.status == 400 and "vaultCriticalOperationExclusionList" in reply.text, reply
    assert wire.request("GET", guard, api=DPP).status == 404


def test_exclusions_read_back_as_they_were_sent(wire, journey):
    """Terraform compares the texts."""
    guard = guard_path(journey.group("security"))
    sent = [OPTIONAL[0].lower(), "Microsoft.RecoveryServices/vaults/backupSecurityPIN/action"]
    body = {"location": LOCATION, "properties": {"vaultCriticalOperationExclusionList": sent}}
    assert wire.request("PUT", guard, body, DPP).status == 201
    found = wire.get(guard, DPP)["properties"]
    assert found["vaultCriticalOperationExclusionList"] == sent
    shown = {o["vaultCriticalOperation"] for o in found["resourceGuardOperations"]}
    assert shown == set(OPTIONAL + MANDATORY) - {OPTIONAL[0]}


@pytest.mark.parametrize("value", [
    "x", "Bearer x", "Basic eDp5", "{own}x", "{own}, Bearer x", "{own},{own},{own},{own}"])
def test_auxiliary_tokens_are_checked(wire, value):
    own = "Bearer " + wire.token()
    path = f"/subscriptions/{wire.subscription}/providers/Microsoft.DataProtection/resourceGuards"
    headers = {"x-ms-authorization-auxiliary": value.format(own=own)}
    reply = wire.request("GET", path, api=DPP, headers=headers)
    assert (reply.status, reply.code) == (401, "AuthenticationFailed"), reply
    assert "error=\"invalid_token\"" in reply.headers["www-authenticate"]
    good = {"x-ms-authorization-auxiliary": f"{own}, {own},{own}"}
    assert wire.request("GET", path, api=DPP, headers=good).status == 200
