"""Sign-in without a secret, and what `az` asks Microsoft Graph and Resource Graph for."""

import json
import subprocess
import types
import uuid

import pytest

from azure_cli import Az
from journey import LOCATION, Journey, unique
from tresor_server import Server
from wire import Wire

MSI = "2024-11-30"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
VARIABLES = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_POD_IDENTITY_AUTHORITY_HOST")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A service that speaks for one identity on this machine: the identity, and the variables
    that tell programs where to ask."""
    server = Server(tmp_path_factory.mktemp("identity") / "data")
    server.start()
    wire = Wire(server.settings)
    journey = Journey(wire)
    path = (f"{journey.group()}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
            f"{unique('id')}")
    identity = wire.request("PUT", path, {"location": LOCATION}, MSI).json()
    journey.assign(journey.root, READER, identity["properties"]["principalId"])
    server.stop()
    server.config = server.data.with_name("identity.toml")
    server.config.write_text(
        '[identity]\nlisten = "127.0.0.1:0"\nimds = true\n'
        f'identities = {json.dumps([identity["id"]])}\n', encoding="ascii")
    server.start()
    printed = subprocess.run([server.program, "env", "--data", str(server.data)], check=True,
                             capture_output=True, text=True, timeout=30).stdout
    lines = [line.removeprefix("export ").split("=", 1) for line in printed.splitlines()]
    variables = {name: value.strip("'") for name, value in lines}
    yield types.SimpleNamespace(
        settings=server.settings, identity=identity,
        variables={name: variables[name] for name in VARIABLES})
    server.stop()


@pytest.mark.parametrize("names", [
    ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"), ("AZURE_POD_IDENTITY_AUTHORITY_HOST",)])
def test_sign_in_as_the_machine(machine, tmp_path, names):
    """`az login --identity`, by the endpoint of an App Service and by that of a machine."""
    cli = Az(machine.settings, tmp_path, **{name: machine.variables[name] for name in names})
    cli.register()
    ids = machine.identity["properties"]
    (found,) = cli("login", "--identity", "--client-id", ids["clientId"])
    assert found["id"] == machine.settings["SUBSCRIPTION_ID"]
    assert found["user"]["type"] == "servicePrincipal"
    assert isinstance(cli("group", "list"), list)
    said = cli.refused("group", "create", "-n", unique("rg"), "-l", LOCATION)
    assert "AuthorizationFailed" in said, "it is a Reader"
    cli("logout")


def test_user_assigned_identities(az, group):
    """`az identity create`, `show`, `list`, `delete`."""
    name = unique("id")
    made = az("identity", "create", "-g", group, "-n", name)
    assert uuid.UUID(made["principalId"]) and uuid.UUID(made["clientId"])
    assert az("identity", "show", "-g", group, "-n", name)["clientId"] == made["clientId"]
    assert name in [found["name"] for found in az("identity", "list", "-g", group)]
    assert name in [found["name"] for found in az("identity", "list")]
    az("identity", "delete", "-g", group, "-n", name)
    assert name not in [found["name"] for found in az("identity", "list", "-g", group)]


def test_an_assignee_is_looked_up_in_graph(az, group):
    """`--assignee` takes a client id or an object id; lists show names."""
    made = az("identity", "create", "-g", group, "-n", unique("id"))
    scope = f"/subscriptions/{az.settings['SUBSCRIPTION_ID']}/resourceGroups/{group}"
    for who in (made["clientId"], made["principalId"]):
        assigned = az("role", "assignment", "create", "--assignee", who, "--role", "Reader",
                      "--scope", scope)
        assert assigned["principalId"] == made["principalId"]
        (listed,) = [found for found in az("role", "assignment", "list", "--scope", scope)
                     if found["id"] == assigned["id"]]
        assert listed["roleDefinitionName"] == "Reader"
        assert listed["principalName"]
        az("role", "assignment", "delete", "--assignee", who, "--role", "Reader",
           "--scope", scope)
