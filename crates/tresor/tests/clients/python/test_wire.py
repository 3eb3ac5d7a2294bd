"""The manners of the wire: groups, paging, api-versions, request ids, letter case, and the
asynchronous protocol in all its scopes."""

import re
import urllib.parse
import uuid

import pytest

from journey import (
    LOCATION, Journey, backup_body, instance_body, name_of, sample, unique, vault_body)
from wire import ARTICLE, COMPUTE, DPP, GROUPS, Wire

STABLE = ["2021-01-01", "2021-07-01", "2022-01-01", "2022-03-01", "2022-04-01", "2022-05-01",
          "2022-12-01", "2023-01-01", "2023-05-01", "2023-11-01", "2023-12-01", "2024-03-01",
          "2024-04-01", "2025-01-01", "2025-02-01", "2025-07-01", "2025-09-01", "2026-03-01",
          "2026-06-01"]
PREVIEW = ["2022-09-01-preview", "2022-11-01-preview", "2024-02-01-preview"]
GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def protected(journey):
    """A protected disk with one recovery point."""
    made = journey.protect(sample(1 << 20))
    journey.backup(made.instance)
    return made


# ---- groups


def test_group_life(wire, journey):
    path = f"{journey.root}/resourceGroups/{unique('rg')}"
    assert wire.request("HEAD", path, api=GROUPS).status == 404
    absent = wire.request("GET", path, api=GROUPS)
    assert (absent.status, absent.code) == (404, "ResourceGroupNotFound")
    assert name_of(path) in absent.text
    made = wire.request("PUT", path, {"location": LOCATION, "tags": {"a": "1"}}, GROUPS)
    assert made.status == 201
    assert made.json() == {
        "id": path, "name": name_of(path), "type": "Microsoft.Resources/resourceGroups",
        "location": LOCATION, "tags": {"a": "1"},
        "properties": {"provisioningState": "Succeeded"}}
    assert wire.request("PUT", path, {"location": LOCATION}, GROUPS).status == 200
    moved = wire.request("PUT", path, {"location": "eastus"}, GROUPS)
    assert (moved.status, moved.code) == (409, "InvalidResourceLocation"), moved
    head = wire.request("HEAD", path, api=GROUPS)
    assert (head.status, head.body) == (204, b"")
    patched = wire.request("PATCH", path, {"tags": {"b": "2"}}, GROUPS)
    assert patched.status == 200 and patched.json()["tags"] == {"b": "2"}
    deleted = wire.request("DELETE", path, api=GROUPS)
    wire.finish_by_location(deleted)
    assert wire.request("HEAD", path, api=GROUPS).status == 404


def test_deleting_a_group_deletes_what_is_in_it(wire, journey):
    group = journey.group()
    disk = journey.disk(group, sample(1 << 20))
    vault, _ = journey.vault(group)
    wire.finish_by_location(wire.request("DELETE", group, api=GROUPS))
    for path, api in ((disk, COMPUTE), (vault, DPP), (group, GROUPS)):
        assert wire.request("GET", path, api=api).status == 404


@pytest.mark.parametrize("which", ["group", "snapshots"])
def test_a_group_that_protects_something_is_not_deleted(wire, protected, which):
    """The vault's and disk's group, and the snapshot group: 409, with the instance's name."""
    reply = wire.request("DELETE", getattr(protected, which), api=GROUPS)
    assert reply.status == 409, reply
    assert name_of(protected.instance) in reply.text
    for path, api in ((protected.instance, DPP), (protected.disk, COMPUTE)):
        wire.get(path, api)


# ---- paging


@pytest.fixture(scope="module")
def many_groups(wire, journey):
    """Groups enough for several pages, in creation order."""
    stem = unique("page")
    names = [f"{stem}-{number:03}" for number in range(23)]
    for name in names:
        reply = wire.request("PUT", f"{journey.root}/resourceGroups/{name}",
                             {"location": LOCATION}, GROUPS)
        assert reply.status == 201, reply
    return names


def link_of(page):
    """The link to the next page as the Python SDK follows it: the query is taken apart, blank
    values are dropped, and the api-version is put in anew."""
    parts = urllib.parse.urlsplit(page["nextLink"])
    query = {k: v for k, v in urllib.parse.parse_qsl(parts.query) if k != "api-version"}
    return f"{parts.path}?{urllib.parse.urlencode(query)}"


def pages(wire, url, api):
    """The pages of a list."""
    found = [wire.get(url, api)]
    while found[-1].get("nextLink"):
        found.append(wire.get(link_of(found[-1]), api))
        assert len(found) < 200, "the pages do not end"
    return found


def test_paging_of_groups(wire, journey, many_groups):
    found = pages(wire, f"{journey.root}/resourcegroups?$top=5", GROUPS)
    assert len(found) >= 5, "23 groups do not fit on four pages of five"
    assert all(1 <= len(page["value"]) <= 5 for page in found[:-1])
    names = [group["name"] for page in found for group in page["value"]]
    assert len(names) == len(set(names)), "no group twice"
    assert set(many_groups) <= set(names), "no group lost"


def test_a_page_is_not_upset_by_changes(wire, journey, many_groups):
    """Groups that come and go between two pages neither hide nor repeat the others."""
    first = wire.get(f"{journey.root}/resourcegroups?$top=4", GROUPS)
    shown = [group["name"] for group in first["value"]]
    gone = next((name for name in shown if name in many_groups), None)
    if gone:
        wire.finish_by_location(wire.request(
            "DELETE", f"{journey.root}/resourceGroups/{gone}", api=GROUPS))
        many_groups.remove(gone)
    journey.group("page-new")
    rest = [group["name"] for page in pages(wire, link_of(first), GROUPS)
            for group in page["value"]]
    names = shown + rest
    assert len(names) == len(set(names)) and set(many_groups) <= set(names)


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "%00", "a" * 5000])
def test_a_made_up_skip_token_is_refused(wire, journey, token):
    reply = wire.request("GET", f"{journey.root}/resourcegroups?$skipToken={token}", api=GROUPS)
    assert reply.status in (400, 414), reply
    assert "skipToken" in reply.text


def test_paging_and_filter_of_recovery_points(wire, journey):
    made = journey.protect(sample(1 << 20))
    for _ in range(5):
        journey.backup(made.instance)
    points = journey.points(made.instance)
    times = [point["properties"]["recoveryPointTime"] for point in points]
    assert len(points) == 5 and times == sorted(times, reverse=True)
    base = f"{made.instance}/recoveryPoints"
    assert wire.get(f"{base}?$filter=", DPP)["value"] == points, "an empty filter is none"
    words = f"startDate eq '{times[3]}' and endDate eq '{times[1]}'"
    found = pages(wire, f"{base}?$top=2&$filter={urllib.parse.quote(words)}", DPP)
    assert [len(page["value"]) for page in found][:2] == [2, 1], "the link keeps the filter"
    assert [p for page in found for p in page["value"]] == points[1:4]
    assert wire.get(points[2]["id"], DPP) == points[2]


# ---- api-versions


@pytest.mark.parametrize("api", STABLE + PREVIEW)
def test_api_versions_of_data_protection(wire, journey, api):
    wire.get(f"{journey.root}/providers/Microsoft.DataProtection/backupVaults", api)


@pytest.mark.parametrize("api", ["2021-01-02", "2020-01-01", "2099-01-01", "2025-07-01-preview",
                                 "latest", ""])
def test_unsupported_api_versions(wire, journey, api):
    path = f"{journey.root}/providers/Microsoft.DataProtection/backupVaults?api-version={api}"
    reply = wire.request("GET", path)
    assert reply.status == 400, reply
    expected = "NoRegisteredProviderFound" if api else "MissingApiVersionParameter"
    assert reply.code == expected and (not api or "2021-01-01" in reply.text), reply


@pytest.mark.parametrize("path, api", [
    ("/resourcegroups", "2099-12-31"), ("/resourcegroups", "2016-09-01"),
    ("/providers/Microsoft.Compute/disks", "2023-04-02"),
    ("/providers/Microsoft.Compute/disks", "2026-03-02"), ("/locations", "2022-12-01"),
    ("/providers", "2021-04-01"),
    ("/providers/Microsoft.Authorization/roleDefinitions", "2022-05-01-preview")])
def test_other_providers_take_any_date(wire, journey, path, api):
    wire.get(journey.root + path, api)


@pytest.mark.parametrize("path, code", [
    ("/resourcegroups", "InvalidApiVersionParameter"),
    ("/providers/Microsoft.Compute/disks", "NoRegisteredProviderFound|"
                                           "InvalidApiVersionParameter")])
def test_an_api_version_must_be_a_date(wire, journey, path, code):
    reply = wire.request("GET", journey.root + path, api="today")
    assert reply.status == 400 and reply.code in code.split("|"), reply
    assert "today" in reply.text


@pytest.mark.parametrize("path", ["/subscriptions", "{root}/resourcegroups", "{group}",
                                  "{root}/providers/Microsoft.Compute/disks"])
def test_a_missing_api_version(wire, journey, protected, path):
    reply = wire.request("GET", path.format(root=journey.root, group=protected.group))
    assert (reply.status, reply.code) == (400, "MissingApiVersionParameter")
    assert "api-version" in reply.text


def test_unknown_paths(wire, journey, protected):
    unknown = wire.request("GET", f"{protected.group}/providers/Microsoft.DataProtection/safes",
                           api=DPP)
    assert (unknown.status, unknown.code) == (404, "InvalidResourceType"), unknown
    other = wire.request("GET", f"/subscriptions/{uuid.uuid4()}/resourceGroups", api=GROUPS)
    assert (other.status, other.code) == (404, "SubscriptionNotFound"), other
    for path in (f"{protected.vault}/backupPolicies/none", f"{protected.vault}x",
                 f"{protected.vault}/backupInstances/none", f"{protected.vault}/backupJobs/"
                 f"{uuid.uuid4()}", f"{protected.instance}/recoveryPoints/{'0' * 32}"):
        reply = wire.request("GET", path, api=DPP)
        assert reply.status == 404, (path, reply)
        assert reply.headers["x-ms-error-code"] == reply.code


# ---- ids, letter case


def test_request_ids(wire, journey):
    mine = str(uuid.uuid4())
    reply = wire.request("GET", f"{journey.root}/resourceGroups", api=GROUPS, headers={
        "x-ms-client-request-id": mine, "x-ms-return-client-request-id": "true",
        "x-ms-correlation-request-id": mine})
    assert reply.headers["x-ms-client-request-id"] == mine
    assert reply.headers["x-ms-correlation-request-id"] == mine
    other = wire.request("GET", f"{journey.root}/resourceGroups/{unique('no')}", api=GROUPS)
    assert other.status == 404
    assert re.search(GUID, other.headers["x-ms-request-id"])
    assert other.headers["x-ms-request-id"] != reply.headers["x-ms-request-id"]
    assert other.headers["x-ms-error-code"] == "ResourceGroupNotFound"
    assert other.headers["x-ms-correlation-request-id"] not in ("", mine)


def test_every_segment_in_any_case(wire, journey, protected):
    for path, api in ((protected.group, GROUPS), (protected.disk, COMPUTE),
                      (protected.vault, DPP), (protected.policy, DPP),
                      (protected.instance, DPP)):
        for odd in (path.upper(), path.lower()):
            assert wire.get(odd, api)["id"] == path, "answered in the casing it was made with"


def test_ids_come_back_as_they_were_sent(wire, journey, protected):
    """References keep the client's casing; a second PUT under another casing is an update."""
    group = journey.group()
    disk = journey.disk(group, sample(1 << 20))
    vault, principal = journey.vault(group)
    policy = journey.policy(vault)
    journey.roles(disk, group, group, principal)
    odd_disk = disk.replace("resourceGroups", "resourcegroups")
    odd_policy = policy.replace("/subscriptions/", "/Subscriptions/")
    odd_group = group.replace("resourceGroups", "RESOURCEGROUPS")
    path = journey.put_instance(journey.instance_path(vault, disk),
                                instance_body(odd_disk, odd_policy, odd_group))
    found = wire.get(path, DPP)
    properties = found["properties"]
    assert found["id"] == path
    assert properties["dataSourceInfo"]["resourceID"] == odd_disk
    assert properties["policyInfo"]["policyId"] == odd_policy
    store = properties["policyInfo"]["policyParameters"]["dataStoreParametersList"][0]
    assert store["resourceGroupId"] == odd_group
    again = wire.request("PUT", policy.upper().replace("/SUBSCRIPTIONS/", "/subscriptions/"),
                         wire.get(policy, DPP), DPP)
    assert again.status == 200 and again.json()["id"] == policy
    assert len(wire.list(f"{vault}/backupPolicies", DPP)) == 1


def test_member_names_and_words_in_any_case(wire, journey):
    """`resourceId` of the CLI, and discriminators and enumerations in other cases."""
    group = journey.group()
    disk = journey.disk(group, sample(1 << 20))
    path = f"{group}/providers/Microsoft.DataProtection/backupVaults/{unique('vault')}"
    wire.do("PUT", path, {
        "Location": LOCATION, "IDENTITY": {"type": "systemassigned"}, "properties": {
            "StorageSettings": [{"dataStoreType": "vaultStore", "Type": "locallyRedundant"}],
            "unheardOf": 1, "monitoringSettings": None}}, DPP)
    vault = wire.get(path, DPP)
    assert vault["identity"]["type"] == "SystemAssigned"
    assert vault["properties"]["storageSettings"] == [
        {"datastoreType": "VaultStore", "type": "LocallyRedundant"}]
    policy = journey.policy(path)
    journey.roles(disk, group, group, vault["identity"]["principalId"])
    body = instance_body(disk, policy, group)
    body["objectType"] = ""
    source = body["dataSourceInfo"]
    source["resourceId"] = source.pop("resourceID")
    source["objectType"] = "datasource"
    body["datasourceInfo"] = body.pop("dataSourceInfo")
    body.update(dataSourceSetInfo=None, datasourceAuthCredentials=None)
    instance = journey.put_instance(journey.instance_path(path, disk), body)
    found = wire.get(instance, DPP)["properties"]
    assert found["dataSourceInfo"]["resourceID"] == disk
    assert found["objectType"] == "BackupInstance"


# ---- the asynchronous protocol


def assert_urls(wire, reply, status_prefix, api):
    """Absolute URLs on this endpoint with the request's api-version, in the right scopes."""
    urls = [reply.headers["azure-asyncoperation"]]
    assert urls[0].startswith(f"{wire.base}{status_prefix}/operationStatus/"), urls
    if reply.status == 202:
        urls.append(reply.headers["location"])
        assert urls[1].startswith(f"{wire.base}/subscriptions/{wire.subscription}/providers/"
                                  f"Microsoft.DataProtection/locations/{LOCATION}"
                                  "/operationResults/"), urls
    else:
        assert "location" not in reply.headers
    for url in urls:
        assert f"api-version={api}" in url
    assert int(reply.headers["retry-after"]) == 1
    return urls


@pytest.mark.parametrize("api, vault_scope", [
    (ARTICLE, False), ("2021-07-01", False), ("2022-05-01", False), ("2022-12-01", True),
    (DPP, True), ("2026-06-01", True)])
def test_where_the_status_lives(wire, journey, api, vault_scope):
    group = journey.group()
    path = f"{group}/providers/Microsoft.DataProtection/backupVaults/{unique('vault')}"
    old = f"{journey.root}/providers/Microsoft.DataProtection/locations/{LOCATION}"
    body = vault_body(securitySettings={"softDeleteSettings": {
        "state": "AlwaysOn", "retentionDurationInDays": 14}})
    made = wire.request("PUT", path, body, api)
    assert made.status == 201, made
    assert made.json()["properties"]["provisioningState"] in ("Provisioning", "Succeeded")
    assert uuid.UUID(made.json()["identity"]["principalId"])
    assert_urls(wire, made, path if vault_scope else old, api)
    wire.finish(made)
    again = wire.request("PUT", path, body, api)
    assert again.status == 201, "the real service answers 201 to an update too"
    wire.finish(again)
    gone = wire.request("DELETE", path, api=api)
    if vault_scope:
        assert gone.status == 202, gone
        assert_urls(wire, gone, f"{group}/providers/Microsoft.DataProtection/locations/"
                    f"{LOCATION}", api)
        wire.finish(gone)
        result = wire.get(gone.headers["location"])
        assert result == {"objectType": "OperationJobExtendedInfo"}
    else:
        assert gone.status == 200, "at once in the first versions"
    assert wire.request("GET", path, api=api).status == 404
    assert wire.request("DELETE", path, api=api).status == 204


def test_all_scopes_show_the_same_operation(wire, journey, protected):
    reply = wire.request("POST", f"{protected.instance}/backup", backup_body(), DPP)
    status_url, result_url = assert_urls(wire, reply, protected.vault, DPP)
    status = wire.finish(reply)
    wire.wait_job(status["properties"]["jobId"])
    operation = status["name"]
    assert status["id"] == f"{protected.vault}/operationStatus/{operation}"
    provider = "providers/Microsoft.DataProtection"
    scopes = [f"{journey.root}/{provider}/locations/{LOCATION}",
              f"{protected.group}/{provider}", protected.vault,
              f"{protected.group}/{provider}/locations/{LOCATION}"]
    assert operation.endswith("="), "base64, unescaped"
    for scope in scopes:
        for name in (operation, operation.replace("=", "%3D")):
            found = wire.get(f"{scope}/operationStatus/{name}", DPP)
            assert (found["name"], found["status"], found["properties"]) == \
                (operation, "Succeeded", status["properties"])
    assert wire.get(result_url) == status["properties"]
    signed = wire.request("GET", status_url + "&t=1&c=2&s=3&h=4")
    assert signed.status == 200, "unknown query parameters are ignored"
    unknown = wire.request("GET", f"{protected.vault}/operationStatus/bm9uZQ==", api=DPP)
    assert unknown.status == 404


def test_a_failed_operation(wire, journey, protected):
    """Status: 200 with the error; the result: 400 with the same error."""
    missing = {**instance_body(journey.disk_path(protected.group), protected.policy,
                               protected.snapshots)}
    reply = wire.request("POST", f"{protected.vault}/validateForBackup",
                         {"backupInstance": missing}, DPP)
    if reply.status == 400:
        assert reply.json()["error"]["additionalInfo"][0]["type"] == "UserFacingError"
        return
    status = wire.outcome(reply)
    assert status["status"] == "Failed" and status["error"]["code"].startswith("UserError")
    info = status["error"]["additionalInfo"][0]["info"]
    assert info["code"] == status["error"]["code"] and info["recommendedAction"]
    result = wire.request("GET", reply.headers["location"])
    assert (result.status, result.code) == (400, status["error"]["code"])


def test_azures_waiting_times(new_server):
    """With `fidelity.retry_after = "azure"` the service says what Azure says."""
    with new_server('[fidelity]\nretry_after = "azure"\n') as server:
        wire = Wire(server.settings)
        journey = Journey(wire)
        made = journey.protect(sample(1 << 20))
        body = {"backupInstance": instance_body(made.disk, made.policy, made.snapshots)}
        journey.revoke(made.disk)
        backup = wire.request("POST", f"{made.instance}/backup", backup_body(), DPP)
        assert int(backup.headers["retry-after"]) == 30
        wire.wait_job(wire.finish(backup)["properties"]["jobId"])
        stop = wire.request("DELETE", made.instance, api=DPP)
        assert int(stop.headers["retry-after"]) == 30
        wire.finish(stop)
        validate = wire.request("POST", f"{made.vault}/validateForBackup", body, DPP)
        assert int(validate.headers["retry-after"]) == 10
        wire.outcome(validate)


# ---- the rest of the provider


def test_check_name_availability(wire, journey, protected):
    path = (f"{protected.group}/providers/Microsoft.DataProtection/locations/{LOCATION}"
            "/checkNameAvailability")
    kind = "Microsoft.DataProtection/BackupVaults"
    free = wire.request("POST", path, {"name": unique("vault"), "type": kind}, DPP).json()
    assert free["nameAvailable"] is True
    taken = wire.request("POST", path, {"name": name_of(protected.vault), "type": kind}, DPP)
    assert taken.json()["nameAvailable"] is False
    assert taken.json()["reason"] == "AlreadyExists" and taken.json()["message"]


def test_operations_list(wire):
    names = {item["name"].lower() for item in wire.list(
        "/providers/Microsoft.DataProtection/operations", DPP)}
    assert "microsoft.dataprotection/backupvaults/write" in names
    assert "microsoft.dataprotection/backupvaults/backupinstances/restore/action" in names


def test_subscriptions_locations_providers(wire, journey):
    listed = wire.list("/subscriptions", "2022-12-01")
    assert wire.subscription in [item["subscriptionId"] for item in listed]
    tenants = wire.list("/tenants", "2022-12-01")
    assert [item["tenantId"] for item in tenants] == [wire.settings["TENANT_ID"]]
    one = wire.get(journey.root, "2022-12-01")
    assert (one["state"], one["tenantId"]) == ("Enabled", wire.settings["TENANT_ID"])
    places = {item["name"] for item in wire.list(f"{journey.root}/locations", "2022-12-01")}
    assert {"westus", "eastus", "westeurope", "northeurope"} <= places
    for namespace in ("Microsoft.DataProtection", "Microsoft.Compute"):
        reply = wire.request("POST", f"{journey.root}/providers/{namespace}/register",
                             api="2021-04-01")
        assert reply.status == 200 and reply.json()["registrationState"] == "Registered"
        shown = wire.get(f"{journey.root}/providers/{namespace}", "2021-04-01")
        assert shown["registrationState"] == "Registered"
        assert all(kind["apiVersions"] for kind in shown["resourceTypes"])


def test_health_needs_no_token(wire):
    for path in ("/healthz", "/readyz"):
        assert wire.request("GET", path, token=None).status == 200
