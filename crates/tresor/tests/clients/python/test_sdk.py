"""The whole journey by the unmodified Azure SDKs; the bytes are compared at the end."""

import time
import types

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.mgmt.resource.resources import ResourceManagementClient

from others import Others
from walk import Walk, clients, credential


@pytest.mark.parametrize("tenant", [None, "adfs"])
def test_the_whole_journey(shared_server, tenant):
    settings = shared_server.settings
    Walk(clients(settings, credential(settings, tenant))).all()


@pytest.fixture(scope="module")
def others(shared_server):
    """A protected disk, for the operations that the journey does not take."""
    settings = shared_server.settings
    return Others(clients(settings, credential(settings)))


@pytest.mark.parametrize("family", [
    "vaults", "provider", "reads", "standing", "pauses", "follow", "guards", "deleted",
    "refused"])
def test_the_other_operations(others, family):
    getattr(others, family)()


def test_the_sdk_shows_a_failed_operation(shared_server):
    """A validation that fails is an exception with the code, the message and the details."""
    settings = shared_server.settings
    walk = Walk(clients(settings, credential(settings)))
    walk.make_groups()
    walk.make_disk()
    walk.make_vault()
    with pytest.raises(HttpResponseError) as caught:
        walk.sdk.backup.backup_instances.begin_validate_for_backup(
            walk.names["rg"], walk.names["vault"],
            {"backupInstance": walk.instance_model()}).result()
    assert caught.value.error.code == "UserErrorMissingRequiredPermissions"
    texts = [d.message for d in caught.value.error.details]
    assert any("Microsoft.Compute/disks/read" in text for text in texts), texts


def test_a_wrong_secret_is_shown(shared_server):
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        credential(shared_server.settings, secret="wrong").get_token(
            f"{shared_server.settings['BASE_URL']}/.default")


@pytest.mark.parametrize("scope", ["{base}/.default", "{base}//.default",
                                   "https://management.azure.com/.default",
                                   "https://management.core.windows.net//.default"])
def test_the_scopes_that_clients_ask_for(shared_server, scope):
    settings = shared_server.settings
    token = credential(settings).get_token(scope.format(base=settings["BASE_URL"])).token
    base = settings["BASE_URL"]

    class Held:
        """A credential that has this one token."""

        def get_token(self, *_, **__):
            return types.SimpleNamespace(token=token, expires_on=int(time.time()) + 600)

    groups = ResourceManagementClient(Held(), settings["SUBSCRIPTION_ID"], base_url=base,
                                      credential_scopes=["x"]).resource_groups
    assert isinstance(list(groups.list()), list)
