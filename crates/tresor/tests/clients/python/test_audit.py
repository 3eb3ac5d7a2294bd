"""The audit trail: as the activity log, and as a file."""

import json
import os
import stat
import urllib.parse
import uuid

import pytest

from journey import LOCATION, Journey, sample, unique
from wire import COMPUTE, GROUPS, ROLES, Wire

EVENTS = "/providers/Microsoft.Insights/eventtypes/management/values"
INSIGHTS = "2015-04-01"
SPAN = "eventTimestamp ge 2000-01-01T00:00:00 and eventTimestamp le 2200-01-01T00:00:00"
# Members that `az monitor activity-log list` and the SDK's model EventData read.
MEMBERS = {
    "authorization", "caller", "claims", "correlationId", "description", "eventDataId",
    "eventName", "category", "httpRequest", "id", "level", "resourceGroupName",
    "resourceProviderName", "resourceId", "resourceType", "operationId", "operationName",
    "properties", "status", "subStatus", "eventTimestamp", "submissionTimestamp",
    "subscriptionId", "tenantId"}


def events(wire, words="", select=None):
    """Events of the subscription that match, newest first."""
    words = f"{SPAN} and {words}" if words else SPAN
    url = f"/subscriptions/{wire.subscription}{EVENTS}?$filter={urllib.parse.quote(words)}"
    if select:
        url += "&$select=" + urllib.parse.quote(select)
    return wire.list(url, INSIGHTS)


def told(found):
    """(operation, status) of events, oldest first."""
    return [(event["operationName"]["value"], event["status"]["value"])
            for event in reversed(found)]


def lines(server):
    """The lines of the trail's file."""
    text = (server.data / "audit.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_journey_is_recorded(wire, journey, shared_server):
    group = journey.group("audit")
    disk = journey.disk(group, sample(1 << 20))
    journey.revoke(disk)
    wire.do("DELETE", disk, api=COMPUTE)
    found = events(wire, f"resourceUri eq '{disk}'")
    compute = "Microsoft.Compute/disks"
    assert told(found) == [
        (f"{compute}/write", "Accepted"), (f"{compute}/beginGetAccess/action", "Accepted"),
        (f"{compute}/endGetAccess/action", "Accepted"),
        (f"{compute}/endGetAccess/action", "Accepted"), (f"{compute}/delete", "Accepted")]
    event = found[0]
    assert MEMBERS <= set(event), MEMBERS - set(event)
    assert event["httpRequest"]["clientIpAddress"] == "127.0.0.1"
    assert event["httpRequest"]["method"] == "DELETE"
    assert event["claims"]["appid"] == wire.settings["CLIENT_ID"]
    assert event["resourceId"] == disk and event["resourceGroupName"] in group
    assert event["subscriptionId"] == wire.subscription
    assert event["tenantId"] == wire.settings["TENANT_ID"]
    kept = [line for line in lines(shared_server) if line["id"] == event["eventDataId"]]
    assert [line["phase"] for line in kept] == ["begun", "ended"]
    assert kept[1]["status"] == 202 and kept[1]["peer"] == "127.0.0.1"


def test_filters_and_selections(wire, journey):
    group = journey.group("audit")
    mine = str(uuid.uuid4())
    path = f"{journey.root}/resourceGroups/{unique('audit')}"
    wire.request("PUT", path, {"location": LOCATION}, GROUPS,
                 {"x-ms-correlation-request-id": mine, "x-ms-client-request-id": "mine"})
    found = events(wire, f"correlationId eq '{mine}'", "caller,operationName,httpRequest")
    assert len(found) == 1 and set(found[0]) == {"caller", "operationName", "httpRequest"}
    assert found[0]["httpRequest"]["clientRequestId"] == "mine"
    group_name = group.rsplit("/", 1)[-1].upper()
    assert len(events(wire, f"resourceGroupName eq '{group_name}'")) == 1
    assert len(events(wire, f"resourceId eq '{path}'")) == 1
    caller = found[0]["caller"]
    assert events(wire, f"caller eq '{caller}' and correlationId eq '{mine}'")
    assert not events(wire, f"correlationId eq '{uuid.uuid4()}'")
    words = urllib.parse.quote("level eq 'Error'")
    reply = wire.request("GET", f"{journey.root}{EVENTS}?$filter={words}", api=INSIGHTS)
    assert (reply.status, reply.code) == (400, "InvalidFilterInQueryString")


def test_refusals_are_recorded(wire, journey):
    """Who has no right, who has no token, who has a wrong secret; and failed writes."""
    group = journey.group("audit")
    _, principal = journey.vault(group)
    bad = wire.request("PUT", f"{group}/providers/Microsoft.Authorization/roleAssignments/"
                       f"{uuid.uuid4()}", {"properties": {
                           "roleDefinitionId": f"{journey.root}/providers/Microsoft.Authorization"
                                               f"/roleDefinitions/{uuid.uuid4()}",
                           "principalId": principal}}, ROLES)
    assert bad.status in (400, 404)
    found = events(wire, "status eq 'Failed' and resourceProvider eq 'Microsoft.Authorization'")
    assert found[0]["properties"]["errorCode"] == bad.code
    assert found[0]["level"] == "Error"
    assert wire.request("DELETE", group, api=GROUPS, token="nonsense").status == 401
    assert wire.post_token(client_secret="wrong").status == 401
    name = group.rsplit("/", 1)[-1]
    refused = events(wire, f"status eq 'Failed' and resourceGroupName eq '{name}'")[0]
    assert refused["subStatus"]["value"] == "Unauthorized" and refused["caller"] is None
    tenant = wire.list(f"{EVENTS}?$filter={urllib.parse.quote(SPAN)}", INSIGHTS)
    token = next(event for event in tenant if event["operationName"]["value"] == "Token"
                 and event["status"]["value"] == "Failed")
    assert token["properties"]["errorCode"] == "invalid_client"
    assert token["claims"]["appid"] == wire.settings["CLIENT_ID"]
    good = next(event for event in tenant if event["operationName"]["value"] == "Token"
                and event["status"]["value"] == "Succeeded")
    assert good["claims"]["name"] == "owner"


def test_reading_the_trail_takes_a_right(wire, journey):
    reply = wire.request("GET", f"{journey.root}{EVENTS}", api=INSIGHTS, token=None)
    assert reply.status == 401


def test_the_trail_survives_a_kill_and_stays_private(new_server):
    server = new_server("[audit]\nfile_bytes = 4096\nfiles = 2\n").start()
    journey = Journey(Wire(server.settings))
    made = [journey.group("audit") for _ in range(12)]
    server.kill()
    server.start()
    wire = Wire(server.settings)
    shown = [event["resourceId"] for event in events(wire)]
    assert shown == list(reversed(made)), "every answered write, once"
    files = sorted(server.data.glob("audit.log*"))
    assert [file.name for file in files] == ["audit.log", "audit.log.1", "audit.log.2"]
    for file in [*files, server.data / "catalogue.db"]:
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600, file
    for file in files:
        assert file.stat().st_size < 4096 + 2048
        for line in file.read_text(encoding="utf-8").splitlines():
            assert json.loads(line)["phase"] in ("begun", "ended")


def test_the_trail_comes_in_pages(wire, journey):
    for _ in range(5):
        journey.group("audit")
    url = f"{journey.root}{EVENTS}?$top=2&$select=eventDataId"
    page, seen = wire.get(url, INSIGHTS), []
    while len(seen) < 6:
        assert len(page["value"]) == 2
        seen += [event["eventDataId"] for event in page["value"]]
        page = wire.get(page["nextLink"])
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("method, tail", [("GET", ""), ("HEAD", "")])
def test_reads_leave_no_trace(wire, journey, method, tail):
    group = journey.group("audit")
    wire.request(method, group + tail, api=GROUPS)
    name = group.rsplit("/", 1)[-1]
    assert len(events(wire, f"resourceGroupName eq '{name}'")) == 1
