"""Cloud registration and sign-in, by every way that `az` has for a program."""

import pytest

from azure_cli import Az


@pytest.fixture
def fresh(shared_server, tmp_path):
    """An `az` that knows nothing yet; more of its environment can be given."""
    return lambda **environment: Az(shared_server.settings, tmp_path, **environment)


def assert_signed_in(cli):
    """The subscription is the default one, and a request with its token is answered."""
    shown = cli("account", "show")
    settings = cli.settings
    assert (shown["id"], shown["tenantId"]) == (
        settings["SUBSCRIPTION_ID"], settings["TENANT_ID"])
    assert shown["environmentName"] == "tresor" and shown["state"] == "Enabled"
    assert isinstance(cli("group", "list"), list)


def test_the_cloud_describes_itself(az):
    """What `az cloud register` has read from the service."""
    ends = az("cloud", "show", "-n", "tresor")["endpoints"]
    assert ends["resourceManager"].rstrip("/") == az.base
    assert ends["activeDirectory"] == f"{az.base}/adfs"
    assert ends["activeDirectoryResourceId"] == az.base


def test_without_any_setting(fresh):
    """The service's own description names the ADFS form of its authority, which `az` asks
    directly: nothing is configured but the cloud."""
    cli = fresh()
    cli.register()
    (found,) = cli.sign_in()
    assert found["user"] == {"name": cli.settings["CLIENT_ID"], "type": "servicePrincipal"}
    assert_signed_in(cli)
    token = cli("account", "get-access-token")
    assert token["tokenType"] == "Bearer" and token["tenant"] == cli.settings["TENANT_ID"]
    cli("logout")
    assert "az login" in cli.refused("group", "list")


def test_by_the_tenants_own_authority(fresh):
    """The form that Azure's own clouds have. `az` asks Microsoft about an authority that it does
    not know, unless it is told not to."""
    cli = fresh(AZURE_CORE_INSTANCE_DISCOVERY="false")
    cli.register("--endpoint-active-directory", fresh().base)
    cli.sign_in()
    assert_signed_in(cli)
    cli("logout")


def test_a_wrong_secret_is_shown(fresh):
    cli = fresh()
    cli.register()
    with pytest.raises(Exception, match="AADSTS7000215"):
        cli.sign_in(secret="wrong")


def test_tenants_and_locations(az):
    assert {place["name"] for place in az("account", "list-locations")} >= {"westus"}
    (found,) = az("account", "list", "--refresh")
    assert found["id"] == az.settings["SUBSCRIPTION_ID"]
