"""The unmodified `az`, with a configuration folder of its own and no telemetry."""

import json
import os
import re
import subprocess
import sys

from journey import LOCATION, unique
from tresor_server import wait_until

LIMIT = 120
CLOUD = "tresor"
# What the caller's environment must not add.
FOREIGN = re.compile(r"(AZURE_|ARM_|MSI_|IDENTITY_|REQUESTS_CA_BUNDLE|HTTPS?_PROXY)", re.I)


class Failed(Exception):
    """`az` ended with an exit code other than 0; the text is what it said."""


class Az:
    """One configuration of `az`; calling it runs a command."""

    def __init__(self, settings, folder, **environment):
        self.settings = settings
        self.base = settings["BASE_URL"].rstrip("/")
        self.folder = folder
        self.headers = {}
        kept = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        self.environment = {
            **kept, "AZURE_CONFIG_DIR": str(folder / "config"),
            "AZURE_EXTENSION_DIR": str(folder / "extensions"),
            "AZURE_CORE_COLLECT_TELEMETRY": "no", "AZURE_CORE_NO_COLOR": "yes",
            "AZURE_CORE_SURVEY_MESSAGE": "no", "AZURE_CORE_DISABLE_PROGRESS_BAR": "yes",
            "REQUESTS_CA_BUNDLE": settings["CA_FILE"], **environment}

    def run(self, *arguments):
        """Runs a command; its exit code, what it wrote, and what it said beside it."""
        done = subprocess.run(
            [sys.executable, "-m", "azure.cli", *map(str, arguments)], cwd=self.folder,
            env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT, check=False)
        return done.returncode, done.stdout, done.stderr

    def __call__(self, *arguments):
        """Runs a command that must succeed; what it wrote, as JSON."""
        code, out, said = self.run(*arguments)
        if code != 0:
            raise Failed(f"az {' '.join(map(str, arguments))}: {code}\n{out}{said}")
        return json.loads(out) if out.strip() else None

    def refused(self, *arguments):
        """Runs a command that must fail; what it said."""
        code, out, said = self.run(*arguments)
        assert code != 0, f"az {' '.join(map(str, arguments))} succeeded:\n{out}"
        return said

    # ---- signing in

    def register(self, *more):
        """Makes the service a cloud of `az`, from the service's own description."""
        self("cloud", "register", "-n", CLOUD, "--endpoint-resource-manager", self.base, *more)
        self("cloud", "set", "-n", CLOUD)

    def sign_in(self, secret=None):
        """Signs in as the owner; the subscriptions that it sees."""
        return self("login", "--service-principal", "-u", self.settings["CLIENT_ID"],
                    "-p", secret or self.settings["CLIENT_SECRET"],
                    "--tenant", self.settings["TENANT_ID"])

    # ---- what the tests need

    def group(self, kind="rg"):
        """Makes a resource group; its name."""
        name = unique(kind)
        made = self("group", "create", "-n", name, "-l", LOCATION)
        assert made["properties"]["provisioningState"] == "Succeeded"
        return name

    def file(self, name, content):
        """A file with this content (bytes, or anything that JSON can hold); its path."""
        path = self.folder / name
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(raw)
        return path

    def rest(self, method, path, body=None, api="2024-04-01"):
        """`az rest`; the JSON answer. The answer's headers are in `headers`."""
        joint = "&" if "?" in path else "?"
        url = path if "api-version=" in path else f"{path}{joint}api-version={api}"
        arguments = ["rest", "--verbose", "--method", method, "--url", url]
        if body is not None:
            arguments += ["--body", f"@{self.file('body.json', body)}"]
        code, out, said = self.run(*arguments)
        if code != 0:
            raise Failed(f"az rest {method} {url}: {code}\n{out}{said}")
        self.headers = dict(headers(said))
        return json.loads(out) if out.strip() else None

    def follow(self, method, path, body=None, api="2024-04-01"):
        """A long operation by `az rest`, to its end; what its Location answers, if it has one."""
        self.rest(method, path, body, api)
        followed, result = (self.headers[name] if name in self.headers else None
                            for name in ("azure-asyncoperation", "location"))
        assert followed, self.headers

        def ended():
            status = self.rest("get", followed)
            return status if status["status"] != "Inprogress" else None
        status = wait_until(ended, LIMIT, followed)
        assert status["status"] == "Succeeded", status
        return self.rest("get", result) if result else status

    def job(self, path):
        """Waits until a job has ended, which must be well; the job."""
        def ended():
            job = self.rest("get", path)
            return job if job["properties"]["status"] != "InProgress" else None
        job = wait_until(ended, LIMIT, path)
        assert job["properties"]["status"] == "Completed", job
        return job


def headers(said):
    """The headers of the answer, of what `az rest --verbose` tells."""
    _, _, answer = said.partition("Response headers:")
    for name, value in re.findall(r"'([A-Za-z-]+)': '([^'\n]*)'",
                                  answer.partition("Response content:")[0]):
        yield name.lower(), value
