"""Set-up of the suite: a service of its own and an `az` that is signed in to it."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.with_name("python")))
pytest.register_assert_rewrite("azure_cli", "fixtures", "journey", "wire")

from azure_cli import Az
from fixtures import journey, new_server, shared_server, wire

__all__ = ["journey", "new_server", "shared_server", "wire"]


@pytest.fixture(scope="session")
def az(shared_server, tmp_path_factory):
    """`az`, signed in as the owner by the way that takes no setting."""
    cli = Az(shared_server.settings, tmp_path_factory.mktemp("az"))
    cli.register()
    cli.sign_in()
    yield cli
    cli("logout")


@pytest.fixture(scope="session")
def group(az):
    """A resource group that `az` has made."""
    return az.group()
