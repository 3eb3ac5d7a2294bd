"""Microsoft Graph, as far as `az role assignment` and `az ad sp` ask for it."""

import uuid

import pytest

from journey import unique
from test_principals import ALL, make

BY_IDS = "/v1.0/directoryObjects/getByIds"


def find(wire, text):
    """The principals that a filter finds."""
    return wire.get(f"{ALL}?$filter={text}")["value"]


def test_an_assignee_is_resolved_as_az_does(wire, journey):
    """By client id; an object id is looked up among all objects when no client has it."""
    principal = make(wire)
    by_name = "servicePrincipalNames/any(c:c eq '{}')"
    found, = find(wire, by_name.format(principal["appId"]))
    assert found["id"] == principal["id"]
    assert find(wire, by_name.format(principal["id"])) == []
    body = {"ids": [principal["id"]], "types": ["user", "group", "servicePrincipal"]}
    answer = wire.request("POST", BY_IDS, body).json()["value"]
    assert [one["id"] for one in answer] == [principal["id"]]
    assert answer[0]["@odata.type"] == "#microsoft.graph.servicePrincipal"
    # A vault's identity is found in the same way, with the vault that it belongs to.
    vault, identity = journey.vault(journey.group())
    answer, = wire.request("POST", BY_IDS, {"ids": [identity, str(uuid.uuid4())]}).json()["value"]
    assert answer["servicePrincipalType"] == "ManagedIdentity"
    assert vault in answer["alternativeNames"]


def test_tokens_for_graph_are_those_of_the_service(wire):
    """az asks for a token of `microsoftGraphResourceId`, which ends in a slash."""
    found = wire.get("/metadata/endpoints?api-version=2022-09-01", token=None)
    resource = found["microsoftGraphResourceId"]
    reply = wire.post_token(scope=f"{resource}/.default")
    assert reply.status == 200, reply
    page = wire.get(ALL, token=reply.json()["access_token"])
    assert page["@odata.context"].startswith(resource.rstrip("/"))


def test_lists_are_paged(wire):
    prefix = unique("page")
    made = {make(wire, f"{prefix}-{number}")["id"] for number in range(5)}
    url, seen, pages = f"{ALL}?$filter=startswith(displayName,'{prefix}')&$top=2", set(), 0
    while url:
        page = wire.get(url)
        assert 1 <= len(page["value"]) <= 2
        assert not seen & {one["id"] for one in page["value"]}
        seen |= {one["id"] for one in page["value"]}
        url, pages = page.get("@odata.nextLink"), pages + 1
    assert seen == made and pages == 3
    one, = find(wire, f"displayName eq '{prefix.upper()}-3'")
    assert one["displayName"] == f"{prefix}-3"
    short = wire.get(f"{ALL}?$filter=id eq '{one['id']}'&$select=id")["value"]
    assert short == [{"id": one["id"]}]


@pytest.mark.parametrize("method, path", [
    ("GET", "/v1.0/users"), ("GET", "/v1.0/me"), ("GET", "/v1.0/applications"),
    ("POST", "/v1.0/applications"), ("GET", "/v1.0/groups"), ("GET", "/beta/servicePrincipals"),
    ("GET", "/v1.0")])
def test_the_rest_of_graph_is_refused_in_its_words(wire, method, path):
    reply = wire.request(method, path)
    assert reply.status == 400 and reply.code == "notSupported", reply
    assert reply.json()["error"]["innerError"]["request-id"]


@pytest.mark.parametrize("method, path, body", [
    ("GET", f"{ALL}?$filter=displayName ne 'x'", None), ("GET", f"{ALL}?$search=x", None),
    ("GET", f"{ALL}?$top=1000000", None), ("GET", f"{ALL}?$top=x", None),
    ("GET", f"{ALL}/me", None), ("POST", ALL, {}), ("POST", ALL, {"displayName": 5}),
    ("POST", ALL, {"displayName": "x", "appId": str(uuid.uuid4())}),
    ("POST", BY_IDS, {}), ("POST", BY_IDS, {"ids": ["x"]}), ("POST", BY_IDS, {"ids": [None]})])
def test_wrong_requests_are_refused(wire, method, path, body):
    reply = wire.request(method, path, body)
    assert reply.status == 400 and reply.code.startswith("Request_"), reply


def test_what_is_absent_is_not_found(wire):
    absent = f"{ALL}/{uuid.uuid4()}"
    for method, path, body in [
            ("GET", absent, None), ("DELETE", absent, None),
            ("POST", f"{absent}/addPassword", {}),
            ("POST", f"{absent}/removePassword", {"keyId": str(uuid.uuid4())})]:
        reply = wire.request(method, path, body)
        assert reply.status == 404 and reply.code == "Request_ResourceNotFound", reply
