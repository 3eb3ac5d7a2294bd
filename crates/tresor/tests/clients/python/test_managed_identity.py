"""User-assigned identities, vaults that work as them, and tokens for programs on this machine."""

import json
import subprocess
import types
import urllib.error
import urllib.request

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential
from azure.mgmt.resource.resources import ResourceManagementClient

from journey import (
    DISK_BACKUP_READER, DISK_RESTORE_OPERATOR, DISK_SNAPSHOT_CONTRIBUTOR, LOCATION, Journey,
    instance_body, restore_body, sample, unique, vault_body)
from tresor_server import Server
from wire import DPP, Wire

MSI = "2024-11-30"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
VARIABLES = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_POD_IDENTITY_AUTHORITY_HOST",
             "MSI_ENDPOINT", "MSI_SECRET", "IDENTITY_SERVER_THUMBPRINT")


def make(wire, group, name=None):
    """Makes a user-assigned identity; its document."""
    path = (f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
            f"{name or unique('id')}")
    reply = wire.request("PUT", path, {"location": LOCATION, "tags": {"a": "b"}}, MSI)
    assert reply.status == 201, reply
    return reply.json()


def test_identities_are_resources(wire, journey):
    group = journey.group()
    made = make(wire, group)
    assert set(made["properties"]) == {"tenantId", "principalId", "clientId"}
    assert wire.get(made["id"], MSI) == made
    again = wire.request("PUT", made["id"], {"location": LOCATION}, MSI)
    assert again.status == 200 and again.json()["properties"] == made["properties"]
    tagged = wire.request("PATCH", made["id"], {"tags": {"c": "d"}}, MSI)
    assert tagged.status == 200 and tagged.json()["tags"] == {"c": "d"}, tagged
    assert tagged.json()["properties"] == made["properties"]
    kind = "providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    for scope in (group, journey.root):
        assert made["id"] in [one["id"] for one in wire.list(f"{scope}/{kind}", MSI)]
    found = wire.get(f"{journey.root}/providers/Microsoft.ManagedIdentity", "2024-11-01")
    assert "userAssignedIdentities" in [kind["resourceType"] for kind in found["resourceTypes"]]
    listed = wire.list(f"{group}/resources", "2024-11-01")
    assert [one["type"] for one in listed] == [
        "Microsoft.ManagedIdentity/userAssignedIdentities"]
    assert wire.request("DELETE", made["id"], api=MSI).status == 200
    assert wire.request("DELETE", made["id"], api=MSI).status == 204
    assert wire.request("GET", made["id"], api=MSI).status == 404


def test_an_instance_works_as_the_identity_that_it_names(wire, journey):
    """Backup and restore by a user-assigned identity; the vault has no other."""
    image = sample(1 << 20)
    group, snapshots, target = journey.group(), journey.group("snap"), journey.group("target")
    disk, identity = journey.disk(group, image), make(wire, group)
    vault = f"{group}/providers/Microsoft.DataProtection/backupVaults/{unique('vault')}"
    who = {"type": "UserAssigned", "userAssignedIdentities": {identity["id"]: {}}}
    wire.do("PUT", vault, {**vault_body(), "identity": who}, DPP)
    shown = wire.get(vault, DPP)["identity"]["userAssignedIdentities"][identity["id"]]
    ids = identity["properties"]
    assert shown == {"principalId": ids["principalId"], "clientId": ids["clientId"]}
    policy = journey.policy(vault)
    body = {**instance_body(disk, policy, snapshots), "identityDetails": {
        "useSystemAssignedIdentity": False, "userAssignedIdentityArmUrl": identity["id"]}}

    def validate(body):
        return wire.outcome(wire.request("POST", f"{vault}/validateForBackup",
                                         {"backupInstance": body}, DPP))

    plain = validate(instance_body(disk, policy, snapshots))
    assert plain["error"]["code"] == "UserErrorVaultIdentityNotConfigured", plain
    missing = validate(body)["error"]
    assert missing["code"] == "UserErrorMissingRequiredPermissions"
    assert all(ids["principalId"] in one["message"] for one in missing["details"])
    journey.assign(disk, DISK_BACKUP_READER, ids["principalId"])
    journey.assign(snapshots, DISK_SNAPSHOT_CONTRIBUTOR, ids["principalId"])
    assert validate(body)["status"] == "Succeeded"
    instance = journey.put_instance(journey.instance_path(vault, disk), body)
    read = wire.get(instance, DPP)["properties"]["identityDetails"]
    assert read == body["identityDetails"]
    point = journey.point_of(journey.backup(instance))

    copy = journey.disk_path(target)
    request = {**restore_body(point, copy), "identityDetails": body["identityDetails"]}
    url = f"{instance}/validateRestore"
    refused = wire.outcome(wire.request("POST", url, {"restoreRequestObject": request}, DPP))
    assert refused["error"]["code"] == "UserErrorMissingRequiredPermissions", refused
    journey.assign(target, DISK_RESTORE_OPERATOR, ids["principalId"])
    job = wire.wait_job(wire.start_job(f"{instance}/restore", request))
    assert job["properties"]["status"] == "Completed", job
    assert journey.read(copy) == image

    refused = wire.request("DELETE", identity["id"], api=MSI)
    assert refused.status == 409 and refused.code == "UserAssignedIdentityInUse", refused
    assert vault in refused.text


def test_a_vault_gains_and_loses_identities_by_patch(wire, journey):
    group = journey.group()
    one, two = make(wire, group)["id"], make(wire, group)["id"]
    vault, system = journey.vault(group)

    def patch(kind, **changes):
        body = {"identity": {"type": kind, "userAssignedIdentities": changes}}
        reply = wire.request("PATCH", vault, body, DPP)
        assert reply.status == 200, reply
        return reply.json()["identity"]

    both = "SystemAssigned,UserAssigned"
    assert set(patch(both, **{one: {}})["userAssignedIdentities"]) == {one}
    shown = patch("systemassigned, userassigned", **{two: {}})
    assert set(shown["userAssignedIdentities"]) == {one, two} and shown["type"] == both
    shown = patch(both, **{one: None})
    assert set(shown["userAssignedIdentities"]) == {two} and shown["principalId"] == system
    assert wire.request("DELETE", one, api=MSI).status == 200
    wrong = {"identity": {"type": "UserAssigned", "userAssignedIdentities": {one: {}}}}
    refused = wire.request("PATCH", vault, wrong, DPP)
    assert refused.status == 400 and "userAssignedIdentities" in refused.text, refused


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    """A service that speaks for two identities on this machine, and what `tresor env` prints."""
    server = Server(tmp_path_factory.mktemp("identity") / "data")
    server.start()
    journey = Journey(Wire(server.settings))
    group = journey.group()
    one, two, other = (make(journey.wire, group, name) for name in ("one", "two", "other"))
    server.stop()
    server.config = server.data.with_name("identity.toml")
    names = json.dumps([one["id"], two["properties"]["clientId"]])
    server.config.write_text(
        f'[identity]\nlisten = "127.0.0.1:0"\nidentities = {names}\nimds = true\n',
        encoding="ascii")
    server.start()
    printed = subprocess.run([server.program, "env", "--data", str(server.data)], check=True,
                             capture_output=True, text=True, timeout=30).stdout
    lines = [line.removeprefix("export ").split("=", 1) for line in printed.splitlines()]
    variables = {name: value.strip("'") for name, value in lines}
    yield types.SimpleNamespace(
        server=server, wire=Wire(server.settings), one=one, two=two, other=other, group=group,
        variables={name: variables[name] for name in VARIABLES if name in variables})
    server.stop()


@pytest.fixture
def as_program(endpoint, monkeypatch):
    """Sets the environment of a program that has an identity, by one of the protocols."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", endpoint.server.settings["CA_FILE"])
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def set_up(protocol):
        wanted = {"app-service": ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"),
                  "imds": ("AZURE_POD_IDENTITY_AUTHORITY_HOST",)}[protocol]
        for name in wanted:
            monkeypatch.setenv(name, endpoint.variables[name])
    return set_up


@pytest.mark.parametrize("protocol", ["app-service", "imds"])
def test_the_sdk_gets_a_token_of_the_identity(endpoint, as_program, protocol):
    as_program(protocol)
    wire, base = endpoint.wire, endpoint.wire.base
    for identity in (endpoint.one, endpoint.two):
        ids = identity["properties"]
        for chosen in ({"client_id": ids["clientId"]},
                       {"identity_config": {"resource_id": identity["id"]}},
                       {"identity_config": {"object_id": ids["principalId"]}}):
            who = ManagedIdentityCredential(**chosen)
            token = who.get_token(f"{base}/.default")
            claims = endpoint_claims(token.token)
            assert claims["oid"] == ids["principalId"], (chosen, claims)
            assert claims["tid"] == wire.settings["TENANT_ID"]
    Journey(wire).assign(endpoint.group, READER, endpoint.one["properties"]["principalId"])
    who = ManagedIdentityCredential(client_id=endpoint.one["properties"]["clientId"])
    client = ResourceManagementClient(who, wire.subscription, base_url=base,
                                      credential_scopes=[f"{base}/.default"])
    name = endpoint.group.rsplit("/", 1)[-1]
    assert client.resource_groups.get(name).name == name
    # It has no more rights than it was given, and the roles go with the next test.
    for given in wire.list(f"{endpoint.group}/providers/Microsoft.Authorization/roleAssignments",
                           "2022-04-01"):
        if given["properties"]["principalId"] == endpoint.one["properties"]["principalId"]:
            wire.request("DELETE", given["id"], api="2022-04-01")


def endpoint_claims(token):
    """The claims of a token, unchecked."""
    import jwt
    return jwt.decode(token, options={"verify_signature": False})


@pytest.mark.parametrize("protocol", ["app-service", "imds"])
def test_the_endpoint_speaks_for_nobody_else(endpoint, as_program, protocol):
    as_program(protocol)
    for client in (endpoint.other["properties"]["clientId"],
                   endpoint.wire.settings["CLIENT_ID"]):
        with pytest.raises(ClientAuthenticationError):
            ManagedIdentityCredential(client_id=client).get_token(
                f"{endpoint.wire.base}/.default")


def ask(url, **headers):
    """One plain request; status and JSON."""
    request = urllib.request.Request(url, headers={
        name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_raw_protocols(endpoint):
    variables, base = endpoint.variables, endpoint.wire.base
    client = f"&client_id={endpoint.one['properties']['clientId']}"
    url = f"{variables['IDENTITY_ENDPOINT']}?api-version=2019-08-01&resource={base}{client}"
    status, body = ask(url, X_IDENTITY_HEADER=variables["IDENTITY_HEADER"])
    assert status == 200 and body["token_type"] == "Bearer", body
    assert all(isinstance(body[name], str) and int(body[name]) for name in
               ("expires_on", "expires_in"))
    old = url.replace("2019-08-01", "2017-09-01").replace("client_id", "clientid")
    assert ask(old, secret=variables["IDENTITY_HEADER"])[0] == 200
    host = variables["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
    for tail in ("", "/"):
        imds = (f"{host}/metadata/identity/oauth2/token{tail}?api-version=2018-02-01"
                f"&resource={base}{client}")
        assert ask(imds, Metadata="true")[0] == 200
    for refused, headers, expected in [
            (url, {}, 401), (url, {"X_IDENTITY_HEADER": "wrong"}, 401), (imds, {}, 400),
            (imds, {"Metadata": "true", "X_Forwarded_For": "10.0.0.1"}, 400),
            (imds, {"Metadata": "true", "Host": "evil.example"}, 400),
            (imds.replace(client, ""), {"Metadata": "true"}, 400),
            (f"{host}/subscriptions", {"Metadata": "true"}, 404)]:
        status, body = ask(refused, **headers)
        assert status == expected and "access_token" not in body, (headers, status, body)
    mode = (endpoint.server.data / "identity-endpoint.json").stat().st_mode
    assert mode & 0o077 == 0, "others can read the secret"
    assert variables["IDENTITY_HEADER"] not in endpoint.server.log_tail(10000)


def test_the_endpoint_is_off_unless_configured(shared_server):
    assert not (shared_server.data / "identity-endpoint.json").exists()
    printed = subprocess.run([shared_server.program, "env", "--data", str(shared_server.data)],
                             check=True, capture_output=True, text=True, timeout=30).stdout
    assert "IDENTITY_ENDPOINT" not in printed


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"])
def test_the_endpoint_is_for_this_machine_only(tmp_path, listen, shared_server):
    config = tmp_path / "tresor.toml"
    config.write_text(f'[identity]\nlisten = "{listen}"\nidentities = ["/x"]\n', encoding="ascii")
    ended = subprocess.run(
        [shared_server.program, "serve", "--data", str(tmp_path / "data"), "--listen",
         "127.0.0.1:0", "--config", str(config)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and "identity.listen" in ended.stderr, ended
