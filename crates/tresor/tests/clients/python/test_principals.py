"""Service principals: made, rotated and deleted as a directory does, and signed in with SDKs."""

import datetime
import json
import sqlite3

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.resource.resources import ResourceManagementClient

from journey import Journey, unique
from wire import GROUPS, Wire

ALL = "/v1.0/servicePrincipals"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"


def make(wire, name=None):
    """Makes an application; its Graph document."""
    reply = wire.request("POST", ALL, {"displayName": name or unique("app")})
    assert reply.status == 201, reply
    return reply.json()


def add(wire, principal, **wanted):
    """Adds a secret; the answer's document, which alone holds the secret."""
    reply = wire.request("POST", f"{ALL}/{principal['id']}/addPassword",
                         {"passwordCredential": wanted})
    assert reply.status == 200, reply
    return reply.json()


def remove(wire, principal, key):
    """Removes a secret."""
    return wire.request("POST", f"{ALL}/{principal['id']}/removePassword", {"keyId": key})


def sign_in(wire, principal, secret):
    """One request for a token of this principal."""
    return wire.post_token(client_id=principal["appId"], client_secret=secret)


def groups(wire, principal, secret):
    """A management client of the SDK that signs in as this principal."""
    who = ClientSecretCredential(wire.settings["TENANT_ID"], principal["appId"], secret,
                                 authority=wire.base, disable_instance_discovery=True)
    return ResourceManagementClient(
        who, wire.subscription, base_url=wire.base,
        credential_scopes=[f"{wire.base}/.default"]).resource_groups


def test_a_second_principal_works_with_the_sdk_as_far_as_its_roles_go(wire, journey):
    principal = make(wire)
    secret = add(wire, principal, displayName="sdk")["secretText"]
    client, group = groups(wire, principal, secret), journey.group()
    name = group.rsplit("/", 1)[-1]
    with pytest.raises(HttpResponseError) as refused:
        client.get(name)
    assert refused.value.status_code == 403
    journey.assign(group, READER, principal["id"])
    assert client.get(name).name == name
    with pytest.raises(HttpResponseError) as refused:
        client.create_or_update(name, {"location": "westus", "tags": {"a": "b"}})
    assert refused.value.status_code == 403


def test_rotation_has_no_gap(wire):
    principal = make(wire)
    old, new = add(wire, principal), add(wire, principal)
    for made in (old, new):
        assert made["hint"] == made["secretText"][:3]
        assert sign_in(wire, principal, made["secretText"]).status == 200
    assert remove(wire, principal, old["keyId"]).status == 204
    refused = sign_in(wire, principal, old["secretText"])
    assert refused.status == 401 and refused.json()["error_codes"] == [7000215]
    assert sign_in(wire, principal, new["secretText"]).status == 200
    seen = wire.get(f"{ALL}/{principal['id']}")["passwordCredentials"]
    assert [kept["keyId"] for kept in seen] == [new["keyId"]]
    assert seen[0]["secretText"] is None, "a secret is shown once"
    with pytest.raises(ClientAuthenticationError) as failed:
        next(iter(groups(wire, principal, old["secretText"]).list()), None)
    assert "AADSTS7000215" in str(failed.value)


def test_a_secret_has_its_time(wire):
    principal = make(wire)
    now = datetime.datetime.now(datetime.timezone.utc)
    later = (now + datetime.timedelta(days=2)).isoformat()
    made = add(wire, principal, startDateTime=later)
    assert made["startDateTime"].endswith("Z") and made["endDateTime"] > made["startDateTime"]
    refused = sign_in(wire, principal, made["secretText"])
    assert refused.status == 401 and refused.json()["error_codes"] == [7000222], refused
    past = wire.request("POST", f"{ALL}/{principal['id']}/addPassword", {
        "passwordCredential": {"endDateTime": "2020-01-01T00:00:00Z"}})
    assert past.status == 400 and past.code == "Request_BadRequest", past


def test_a_deleted_principal_has_no_token_and_no_role(wire, journey):
    principal, group = make(wire), journey.group()
    secret = add(wire, principal)["secretText"]
    given = journey.assign(group, READER, principal["id"])
    token = sign_in(wire, principal, secret).json()["access_token"]
    assert wire.request("GET", group, api=GROUPS, token=token).status == 200
    assert wire.request("DELETE", f"{ALL}/{principal['id']}").status == 204
    refused = wire.request("GET", group, api=GROUPS, token=token)
    assert refused.status == 401, "the token counts no more, though its time is not over"
    assert sign_in(wire, principal, secret).status == 401
    assert wire.request("GET", given, api="2022-04-01").status == 404


def test_only_who_gives_roles_at_the_root_administers(wire, journey):
    principal, other = make(wire), make(wire)
    secret = add(wire, principal)["secretText"]
    journey.assign(journey.root, OWNER, principal["id"])
    token = sign_in(wire, principal, secret).json()["access_token"]
    for method, path, body in [
            ("POST", ALL, {"displayName": "x"}),
            ("POST", f"{ALL}/{other['id']}/addPassword", {}),
            ("POST", f"{ALL}/{principal['id']}/addPassword", {}),
            ("POST", f"{ALL}/{other['id']}/removePassword", {"keyId": other["id"]}),
            ("DELETE", f"{ALL}/{other['id']}", None)]:
        reply = wire.request(method, path, body, token=token)
        assert reply.status == 403 and reply.code == "Authorization_RequestDenied", reply
    seen = wire.get(f"{ALL}/{other['id']}", token=token)
    assert seen["displayName"] == other["displayName"] and "passwordCredentials" not in seen
    assert "passwordCredentials" in wire.get(f"{ALL}/{principal['id']}", token=token)
    assert wire.request("GET", ALL, token=None).status == 401


def test_catalogues_of_the_first_release_are_read(new_server):
    """The one secret of an old record works, can be seen, and can be replaced."""
    server = new_server()
    server.start()
    server.stop()
    with sqlite3.connect(server.data / "catalogue.db") as database:
        (text,), = database.execute("SELECT record FROM principals").fetchall()
        record = json.loads(text)
        record["secret_digest"] = record.pop("secrets")[0]["digest"]
        del record["created"], record["resource"]
        database.execute("UPDATE principals SET record = ?", (json.dumps(record),))
    database.close()
    server.start()
    wire = Wire(server.settings)
    owner, = wire.get(f"{ALL}?$filter=appId eq '{server.settings['CLIENT_ID']}'")["value"]
    old, = owner["passwordCredentials"]
    new = add(wire, owner)
    assert remove(wire, owner, old["keyId"]).status == 204
    assert wire.post_token().status == 401
    assert sign_in(wire, owner, new["secretText"]).status == 200


def test_keys_and_secrets_are_not_in_the_log_or_the_catalogue(new_server):
    server = new_server()
    server.start()
    wire = Wire(server.settings)
    secret = add(wire, make(wire))["secretText"]
    Journey(wire).group()
    server.stop()
    for path in [server.log_path, *server.data.glob("catalogue.db*")]:
        assert secret.encode() not in path.read_bytes(), path
    keys = list((server.data / "keys").iterdir())
    assert any(key.name.startswith("signing-") for key in keys)
    assert all(key.stat().st_mode & 0o077 == 0 for key in keys), keys
