"""The rules of protection: what may be protected where, the states of an instance, soft delete,
policies in use, restores to taken names, and settings that go one way only."""

import concurrent.futures

import pytest

from journey import (
    KIB, UNIT, Journey, backup_body, instance_body, name_of, policy_body, restore_body, sample,
    unique, vault_body)
from wire import ARTICLE, COMPUTE, DPP, GROUPS, Wire

SMALL = 1 << 20


def refusal(wire, reply):
    """The error of a request that is refused at once or in the end."""
    if reply.status == 202 or reply.status == 201:
        status = wire.outcome(reply)
        assert status["status"] == "Failed", status
        return status["error"]
    assert reply.status == 400, reply
    error = reply.json()["error"]
    info = error["additionalInfo"][0]
    assert info["type"] == "UserFacingError" and info["info"]["code"] == error["code"]
    assert info["info"]["message"] and info["info"]["recommendedAction"]
    return error


def validate(wire, vault, body):
    """POST validateForBackup."""
    return wire.request("POST", f"{vault}/validateForBackup", {"backupInstance": body}, DPP)


@pytest.fixture
def protected(journey):
    """A protected disk of the test's own."""
    return journey.protect(sample(SMALL))


# ---- what may be protected


def test_vault_and_disk_share_a_region(wire, journey):
    """A vault elsewhere, and a request that lies about where the disk is."""
    group = journey.group()
    for place, said in (("eastus", "westus"), ("eastus", "eastus"), ("westus", "eastus")):
        disk = journey.disk(group, sample(SMALL))
        vault, principal = journey.vault(group, location=place)
        journey.roles(disk, group, group, principal)
        body = instance_body(disk, journey.policy(vault), group, location=said)
        error = refusal(wire, validate(wire, vault, body))
        assert "eastus" in error["message"] or "Location" in error["message"], error
        instance = journey.instance_path(vault, disk)
        refusal(wire, wire.request("PUT", instance, {"properties": body}, DPP))
        after = wire.request("GET", instance, api=DPP)
        assert after.status == 404 or after.json()["properties"]["currentProtectionState"] in (
            "ConfiguringProtectionFailed", "ProtectionError")


@pytest.mark.parametrize("which, code", [
    ("other-subscription", "UserErrorSnapshotRGSubscriptionMismatch"),
    ("absent", "UserErrorSnapshotRGNotFound"),
    ("not-a-group", "UserErrorInvalidOperationalStoreResourceGroup"),
    ("none", "UserErrorOperationalStoreParametersNotProvided")])
def test_the_snapshot_group(wire, journey, which, code):
    group = journey.group()
    disk = journey.disk(group, sample(SMALL))
    vault, principal = journey.vault(group)
    journey.roles(disk, group, group, principal)
    other = "/subscriptions/00000000-1111-2222-3333-444444444444"
    snapshots = {"other-subscription": group.replace(journey.root, other), "none": None,
                 "absent": f"{journey.root}/resourceGroups/{unique('no')}",
                 "not-a-group": disk}[which]
    body = instance_body(disk, journey.policy(vault), snapshots)
    if which == "none":
        body["policyInfo"].pop("policyParameters")
    error = refusal(wire, validate(wire, vault, body))
    assert error["code"] == code, error


def test_a_disk_is_protected_once(wire, journey, protected):
    """Another vault, and another instance of the same vault: 400 at once, naming the vault."""
    vault, principal = journey.vault(protected.group)
    journey.assign(protected.disk, "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24", principal)
    for where in (vault, protected.vault):
        policy = journey.policy(where)
        body = instance_body(protected.disk, policy, protected.snapshots)
        reply = validate(wire, where, body)
        assert (reply.status, reply.code) == (400, "UserErrorDppDatasourceAlreadyProtected")
        assert protected.vault in refusal(wire, reply)["message"]
        instance = journey.instance_path(where, protected.disk)
        taken = wire.request("PUT", instance, {"properties": body}, DPP)
        assert taken.status == 400 and taken.code in (
            "UserErrorDppDatasourceAlreadyProtected",
            "UserErrorDppDatasourceAlreadyHasBackupInstance"), taken
        assert wire.request("GET", instance, api=DPP).status == 404


def test_an_absent_disk_and_an_absent_policy(wire, journey, protected):
    gone = instance_body(journey.disk_path(protected.group), protected.policy,
                         protected.snapshots)
    error = refusal(wire, validate(wire, protected.vault, gone))
    assert error["code"] == "UserErrorManagedDiskNotFound", error
    disk = journey.disk(protected.group, sample(SMALL))
    body = instance_body(disk, f"{protected.vault}/backupPolicies/none", protected.snapshots)
    reply = validate(wire, protected.vault, body)
    assert reply.status in (202, 400, 404), reply
    text = reply.text if reply.status >= 400 else str(wire.outcome(reply)["error"])
    assert "policyId" in text or "/backupPolicies/none" in text


def test_a_second_put_changes_the_policy_only(wire, journey, protected):
    """An instance moves to another policy; its disk and its snapshot group stay."""
    journey.backup(protected.instance)
    (old,) = journey.points(protected.instance)
    policy = journey.policy(protected.vault, body=policy_body(duration="P30D"))
    body = instance_body(protected.disk, policy, protected.snapshots)
    wire.finish(wire.request("POST", f"{protected.instance}/validateForModifyBackup",
                             {"backupInstance": body}, DPP))
    journey.put_instance(protected.instance, body)
    found = wire.get(protected.instance, DPP)["properties"]
    assert found["policyInfo"]["policyId"] == policy
    assert found["protectionStatus"]["status"] == "ProtectionConfigured"
    assert journey.points(protected.instance) == [old], "points keep their expiry"
    journey.backup(protected.instance)
    assert journey.points(protected.instance)[0]["properties"]["policyName"] == name_of(policy)
    moved = instance_body(protected.disk, policy, protected.group)
    refused = wire.request("PUT", protected.instance, {"properties": moved}, DPP)
    refusal(wire, refused)
    other = instance_body(journey.disk(protected.group, sample(SMALL)), policy,
                          protected.snapshots)
    refusal(wire, wire.request("PUT", protected.instance, {"properties": other}, DPP))
    assert wire.get(protected.instance, DPP)["properties"]["dataSourceInfo"]["resourceID"] == \
        protected.disk


def test_the_snapshots_of_a_backup(wire, journey, protected):
    """Each backup leaves an incremental snapshot with tags in the snapshot group."""
    for _ in range(2):
        journey.backup(protected.instance)
    points = journey.points(protected.instance)
    snapshots = wire.list(f"{protected.snapshots}/providers/Microsoft.Compute/snapshots",
                          COMPUTE)
    assert {s["name"] for s in snapshots} >= {p["properties"]["friendlyName"] for p in
                                             wire.list(f"{protected.instance}/recoveryPoints",
                                                       ARTICLE)}
    assert len(snapshots) == len(points) == 2
    for snapshot in snapshots:
        assert snapshot["properties"]["incremental"] is True and snapshot["tags"]
        assert snapshot["properties"]["creationData"]["sourceResourceId"] == protected.disk
        assert any(protected.instance.lower() in value.lower() or name_of(protected.instance)
                   in value for value in snapshot["tags"].values())


def test_points_outlive_their_disk(wire, journey, protected):
    """The source disk is deleted: its points restore, further backups fail and say why."""
    point = journey.point_of(journey.backup(protected.instance))
    wire.do("DELETE", protected.disk, api=COMPUTE)
    assert journey.read(journey.restore(protected, point)) == protected.image
    reply = wire.request("POST", f"{protected.instance}/backup", backup_body(), DPP)
    text = reply.text
    if reply.status == 202:
        status = wire.outcome(reply)
        text = str(status.get("error"))
        if status["status"] == "Succeeded":
            job = wire.wait_job(status["properties"]["jobId"])["properties"]
            assert job["status"] == "Failed", job
            text = str(job["errorDetails"])
    assert "UserErrorManagedDiskNotFound" in text or \
        "UserErrorDiskBackupDiskOrMSIPermissionsNotPresent" in text, text


# ---- states


def act(wire, instance, action, **more):
    """POST one transition to its end."""
    return wire.do("POST", f"{instance}/{action}", more.get("body"), DPP)


def state(wire, instance):
    """(currentProtectionState, protectionStatus.status)."""
    properties = wire.get(instance, DPP)["properties"]
    return properties["currentProtectionState"], properties["protectionStatus"]["status"]


@pytest.mark.parametrize("stop, resume, word", [
    ("stopProtection", "resumeProtection", "ProtectionStopped"),
    ("suspendBackups", "resumeBackups", "BackupsSuspended")])
def test_stop_and_resume(wire, journey, protected, stop, resume, word):
    configured = ("ProtectionConfigured", "ProtectionConfigured")
    point = journey.point_of(journey.backup(protected.instance))
    assert state(wire, protected.instance) == configured
    nothing = wire.request("POST", f"{protected.instance}/{resume}", api=DPP)
    assert (nothing.status, nothing.body) == (200, b""), "nothing to resume"
    act(wire, protected.instance, stop, body={})
    assert state(wire, protected.instance) == (word, word)
    reply = wire.request("POST", f"{protected.instance}/backup", backup_body(), DPP)
    assert refusal(wire, reply)["code"] == "UserErrorDppInvalidOperationInCurrentState"
    assert journey.read(journey.restore(protected, point)) == protected.image, "points stay"
    act(wire, protected.instance, resume)
    assert state(wire, protected.instance) == configured
    journey.backup(protected.instance)


# ---- soft delete


def test_a_soft_deleted_instance_holds_nothing(wire, journey, shared_server):
    """It is gone for clients; its policy, its vault, its disk and its groups are free again.
    Its points stay in the store."""
    made = journey.protect(sample(SMALL), securitySettings={
        "softDeleteSettings": {"state": "On", "retentionDurationInDays": 14}})
    records = [shared_server.data / "store" / "points" / journey.point_of(journey.backup(
        made.instance)) for _ in range(2)]
    kept = [record.read_bytes() for record in records]
    reply = wire.request("DELETE", made.instance, api=DPP)
    assert reply.status == 202
    wire.finish(reply)
    assert wire.get(reply.headers["location"])["objectType"] == "OperationJobExtendedInfo"
    assert wire.request("GET", made.instance, api=DPP).status == 404
    assert wire.list(f"{made.vault}/backupInstances", DPP) == []
    assert wire.request("DELETE", made.instance, api=DPP).status == 204
    (deleted,) = wire.list(f"{made.vault}/deletedBackupInstances", DPP)
    assert deleted["name"] == name_of(made.instance)
    assert deleted["properties"]["currentProtectionState"] == "SoftDeleted"
    assert deleted["properties"]["deletionInfo"]["scheduledPurgeTime"]
    vault, principal = journey.vault(made.group)
    journey.roles(made.disk, made.snapshots, made.target, principal)
    body = instance_body(made.disk, journey.policy(vault), made.snapshots)
    wire.finish(validate(wire, vault, body))
    again = journey.put_instance(journey.instance_path(vault, made.disk), body)
    journey.backup(again)
    wire.do("DELETE", again, api=DPP)
    assert wire.request("DELETE", made.policy, api=DPP).status == 200
    wire.do("DELETE", made.vault, api=DPP)
    assert wire.request("GET", made.vault, api=DPP).status == 404
    for group in (made.snapshots, made.group):
        wire.finish_by_location(wire.request("DELETE", group, api=GROUPS))
        assert wire.request("GET", group, api=GROUPS).status == 404
    assert [record.read_bytes() for record in records] == kept, "a kept point has changed"


def test_without_soft_delete_it_is_gone_at_once(wire, journey):
    made = journey.protect(sample(SMALL), securitySettings={
        "softDeleteSettings": {"state": "Off"}})
    assert wire.get(made.vault, DPP)["properties"]["securitySettings"]["softDeleteSettings"] == \
        {"state": "Off", "retentionDurationInDays": 0.0}
    journey.backup(made.instance)
    wire.do("DELETE", made.instance, api=DPP)
    assert wire.list(f"{made.vault}/deletedBackupInstances", DPP) == []
    body = instance_body(made.disk, made.policy, made.snapshots)
    again = journey.put_instance(journey.instance_path(made.vault, made.disk), body)
    assert journey.points(again) == [], "a new instance has no points of the old one"


# ---- policies, vaults


def test_a_policy_in_use_is_not_deleted(wire, journey, protected):
    reply = wire.request("DELETE", protected.policy, api=DPP)
    assert (reply.status, reply.code) == (400, "UserErrorDppPolicyObjectInUse"), reply
    wire.get(protected.policy, DPP)
    same = wire.request("PUT", protected.policy, wire.get(protected.policy, DPP), DPP)
    assert same.status == 200, "the same again is no change"
    other = wire.request("PUT", protected.policy, policy_body(duration="P1D"), DPP)
    refusal(wire, other)
    unused = journey.policy(protected.vault)
    assert wire.request("DELETE", unused, api=DPP).status == 200
    assert wire.request("DELETE", unused, api=DPP).status == 204


@pytest.mark.parametrize("interval", ["PT1H", "PT2H", "PT4H", "PT6H", "PT8H", "PT12H", "P1D"])
def test_policies_come_back_as_they_were_sent(wire, journey, protected, interval):
    body = policy_body(f"R/2020-04-05T13:00:00+02:00/{interval}", "P2W")
    rules = body["properties"]["policyRules"]
    rules[0]["name"] = "BackupIntervals"
    rules[0]["trigger"]["schedule"]["timeZone"] = "W. Europe Standard Time"
    rules[0]["trigger"]["taggingCriteria"].insert(0, {
        "isDefault": False, "taggingPriority": 20, "tagInfo": {"tagName": "Weekly"},
        "criteria": [{"objectType": "ScheduleBasedBackupCriteria",
                      "absoluteCriteria": ["FirstOfWeek"]}]})
    rules.append({**rules[1], "name": "Weekly", "isDefault": False})
    path = journey.policy(protected.vault, body=body)
    found = wire.get(path, DPP)
    for criterion in found["properties"]["policyRules"][0]["trigger"]["taggingCriteria"]:
        info = criterion["tagInfo"]
        assert info.pop("id") == f"{info['tagName']}_"
        assert info.pop("eTag", None) is None
        if criterion.get("criteria") is None:
            criterion.pop("criteria", None)
    assert found["properties"] == body["properties"]


def test_a_vault_that_is_not_empty_is_not_deleted(wire, journey, protected):
    reply = wire.request("DELETE", protected.vault, api=DPP)
    assert refusal(wire, reply)["code"] == "UserErrorBackupVaultNotEmpty", reply
    assert name_of(protected.instance) in reply.text or "instance" in reply.text
    wire.get(protected.instance, DPP)


def test_an_old_put_keeps_what_it_cannot_say(wire, journey):
    """A 2021-01-01 PUT and a PATCH of tags reset neither soft delete nor immutability."""
    group = journey.group()
    settings = {"softDeleteSettings": {"state": "AlwaysOn", "retentionDurationInDays": 30.0},
                "immutabilitySettings": {"state": "Unlocked"}}
    vault, principal = journey.vault(group, securitySettings=settings, featureSettings={
        "crossSubscriptionRestoreSettings": {"state": "Disabled"}})
    wire.do("PUT", vault, {**vault_body(), "tags": {"old": "client"}}, ARTICLE)
    wire.do("PATCH", vault, {"tags": {"new": "tag"}}, DPP)
    found = wire.get(vault, DPP)
    assert found["properties"]["securitySettings"] == {
        **found["properties"]["securitySettings"], **settings}
    assert found["properties"]["featureSettings"]["crossSubscriptionRestoreSettings"] == \
        {"state": "Disabled"}
    assert found["identity"]["principalId"] == principal and found["tags"] == {"new": "tag"}


@pytest.mark.parametrize("section, one_way, back", [
    ("softDeleteSettings", {"state": "AlwaysOn", "retentionDurationInDays": 14},
     ["On", "Off", None]),
    ("immutabilitySettings", {"state": "Locked"}, ["Unlocked", "Disabled", None])])
@pytest.mark.parametrize("method, api", [("PUT", DPP), ("PATCH", DPP), ("PUT", "2022-12-01"),
                                         ("PUT", ARTICLE)])
def test_one_way_settings(wire, journey, section, one_way, back, method, api):
    vault, _ = journey.vault(journey.group(), securitySettings={section: one_way})

    def now():
        return wire.get(vault, DPP)["properties"]["securitySettings"][section]["state"]
    assert now() == one_way["state"]
    for word in back:
        settings = {section: {"state": word} if word else None}
        body = vault_body(securitySettings=settings)
        if method == "PATCH":
            body = {"properties": {"securitySettings": settings}}
        reply = wire.request(method, vault, body, api)
        if word and api != ARTICLE:
            error = refusal(wire, reply)
            assert word in error["message"] or section in error["message"], error
        elif reply.status in (200, 201, 202):
            wire.outcome(reply)
        assert now() == one_way["state"], f"{word} by {method} {api} went through"


def test_newer_versions_want_soft_delete_always_on(wire, journey):
    group = journey.group()
    path = f"{group}/providers/Microsoft.DataProtection/backupVaults/{unique('vault')}"
    for word in ("Off", "On"):
        body = vault_body(securitySettings={"softDeleteSettings": {
            "state": word, "retentionDurationInDays": 14}})
        reply = wire.request("PUT", path, body, "2025-09-01")
        assert reply.status == 400 and "softDeleteSettings" in reply.text, reply


# ---- restores


def test_fail_if_exists(wire, journey, protected):
    """The name of the disk itself, of another disk, and of a restored one are all taken."""
    point = journey.point_of(journey.backup(protected.instance))
    journey.assign(protected.group, "b50d9833-a0cb-478e-945f-707fcc997c13", protected.principal)
    restored = journey.restore(protected, point)
    other = journey.disk(protected.target, sample(64 * KIB))
    for disk in (protected.disk, other, restored, restored.upper().replace(
            "/SUBSCRIPTIONS/", "/subscriptions/")):
        body = restore_body(point, disk)
        for url, sent in ((f"{protected.instance}/validateRestore",
                           {"restoreRequestObject": body}),
                          (f"{protected.instance}/restore", body)):
            error = refusal(wire, wire.request("POST", url, sent, DPP))
            assert error["code"] == "UserErrorSameNameDiskAlreadyExists", error
    assert journey.read(protected.disk) == protected.image
    assert journey.read(restored) == protected.image


@pytest.mark.parametrize("attempt", range(4))
def test_two_restores_to_one_name_have_one_winner(wire, journey, attempt):
    """Started at the same time from different points: one disk, with the winner's bytes."""
    made = journey.protect(sample(SMALL, seed=attempt))
    images, points = [], []
    for value in (b"\x21", b"\x22"):
        journey.change(made, {UNIT: value * UNIT})
        points.append(journey.point_of(journey.backup(made.instance)))
        images.append(bytes(made.image))
    disk = journey.disk_path(made.target)

    def run(point):
        reply = wire.request("POST", f"{made.instance}/restore", restore_body(point, disk), DPP)
        if reply.status == 202:
            status = wire.outcome(reply)
            if status["status"] == "Succeeded":
                job = wire.wait_job(status["properties"]["jobId"])["properties"]
                assert job["status"] == "Completed" or "UserErrorSameNameDiskAlreadyExists" in \
                    str(job["errorDetails"]), job
                return job["status"] == "Completed"
            error = status["error"]
        else:
            error = refusal(wire, reply)
        assert error["code"] == "UserErrorSameNameDiskAlreadyExists", error
        return False
    wire.token()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        order = points * 2 if attempt % 2 else points
        won = [point for point, ok in zip(order, pool.map(run, order)) if ok]
    assert len(won) == 1, won
    assert journey.read(disk) == images[points.index(won[0])]


@pytest.mark.parametrize("change, code", [
    ({"group": True}, "UserErrorRestoreTargetRGNotFound"),
    ({"location": "eastus"}, None)])
def test_where_a_restore_may_go(wire, journey, protected, change, code):
    """The target group exists; the region is that of the snapshot."""
    point = journey.point_of(journey.backup(protected.instance))
    group = f"{journey.root}/resourceGroups/{unique('no')}" if change.get("group") \
        else protected.target
    disk = journey.disk_path(group)
    body = restore_body(point, disk, location=change.get("location", "westus"))
    for url, sent in ((f"{protected.instance}/validateRestore", {"restoreRequestObject": body}),
                      (f"{protected.instance}/restore", body)):
        error = refusal(wire, wire.request("POST", url, sent, DPP))
        assert code in (None, error["code"]), error
        assert code or "eastus" in error["message"] or "ocation" in error["message"], error


def test_azures_quotas(new_server):
    """With `limits.mode = "azure"` a disk has seven snapshots in five minutes: the eighth backup
    in a row is the first that fails."""
    with new_server('[limits]\nmode = "azure"\n') as server:
        own = Wire(server.settings)
        walk = Journey(own)
        made = walk.protect(sample(SMALL))
        for _ in range(7):
            walk.backup(made.instance)
        job = own.wait_job(walk.start_backup(made.instance))["properties"]
        assert job["status"] == "Failed", job
        (error,) = job["errorDetails"]
        assert error["code"] == "CloudDosTimeboudLimitReached", error
        assert error["message"] == "The disk has as many snapshots as Azure allows at a time."
        assert len(walk.points(made.instance)) == 7, "a refused snapshot is no point"
