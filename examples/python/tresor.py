"""A Tresor service that lives as long as a test session: started, asked, moved in time, made to
fail, and made clean again. Standard library only; copy it as it is.

    with Service() as service:
        service.settings["BASE_URL"]             # where it listens; see `tresor env`
        service.advance("PT4H")                  # the clock; returns when due work is done
        service.fail("BackupInstances_AdhocBackup", "CloudInternalError", where="job")
        service.reset()                          # back to an empty subscription

The binary is `tresor` on the PATH, or the one that TRESOR_BIN names.
"""

import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

START_LIMIT = 60


class Service:
    """One `tresor serve --ephemeral` process."""

    def __init__(self, clock="2026-01-01T00:00:00Z"):
        self.clock = clock
        self.settings = None
        self._process = self._token = self._context = None
        self._folder = tempfile.TemporaryDirectory(prefix="tresor-example-")

    def __enter__(self):
        ready = pathlib.Path(self._folder.name) / "ready.json"
        program = os.environ.get("TRESOR_BIN", "tresor")
        with open(ready.with_name("log"), "wb") as log:
            self._process = subprocess.Popen(
                [program, "serve", "--ephemeral", "--clock", self.clock,
                 "--ready-file", str(ready)], stdout=subprocess.DEVNULL, stderr=log)
        end = time.monotonic() + START_LIMIT
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                log = ready.with_name("log").read_text(encoding="utf-8")
                self.__exit__()
                raise RuntimeError(f"the service did not start:\n{log}")
            time.sleep(0.01)
        self.settings = json.loads(ready.read_text(encoding="utf-8"))
        self._context = ssl.create_default_context(cafile=self.settings["CA_FILE"])
        return self

    def __exit__(self, *_):
        # It removes its data itself.
        self._process.terminate()
        self._process.wait(60)
        self._folder.cleanup()

    def advance(self, by=None, to=None):
        """Moves the clock and returns when everything that is due is done: the jobs that ended.
        Without arguments it only waits."""
        body = {name: value for name, value in (("advance", by), ("to", to)) if value}
        return self._hook("POST", "clock", body)["jobs"]

    def now(self):
        """What the clock shows, as the service writes it."""
        return self._hook("GET", "clock")["now"]

    def fail(self, operation, code, where="request", times=1):
        """Makes the next `times` matching operations fail: `where` is request, operation or
        job."""
        self._hook("POST", "faults", {"operation": operation, "code": code, "where": where,
                                      "times": times})

    def reset(self):
        """No resources, no faults, the clock at its beginning; same address and credentials."""
        self._hook("POST", "reset")

    def _hook(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self.settings['BASE_URL']}/_tresor/{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._owner()}",
                     "Content-Type": "application/json"})
        return self._send(request)

    def _owner(self):
        if self._token is None:
            form = {"grant_type": "client_credentials",
                    "client_id": self.settings["CLIENT_ID"],
                    "client_secret": self.settings["CLIENT_SECRET"],
                    "scope": f"{self.settings['BASE_URL']}/.default"}
            answer = self._send(urllib.request.Request(
                f"{self.settings['BASE_URL']}/{self.settings['TENANT_ID']}/oauth2/v2.0/token",
                data=urllib.parse.urlencode(form).encode()))
            self._token = answer["access_token"]
        return self._token

    def _send(self, request):
        try:
            with urllib.request.urlopen(request, context=self._context, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{error.code} {error.read().decode()}") from None
