"""Set-up of the suite: the modules and fixtures of the suite of the newest SDK."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.with_name("python")))
pytest.register_assert_rewrite("fixtures", "journey", "others", "walk", "wire")

from fixtures import journey, new_server, shared_server, wire

__all__ = ["journey", "new_server", "shared_server", "wire"]
