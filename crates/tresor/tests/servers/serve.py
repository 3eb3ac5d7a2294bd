"""Runs a command beside an S3 server and an Azure Blob server, both in memory on the loopback.

    python serve.py AZURITE_FOLDER COMMAND [ARGUMENT ...]

AZURITE_FOLDER is where `npm install` put azurite. The command finds the servers by the variables
that users set: AWS_* and AZURE_STORAGE_*, and TRESOR_TEST_BUCKET and TRESOR_TEST_CONTAINER name an
empty bucket and container. The exit code is the command's; the servers end with it.
"""

import logging
import os
import re
import subprocess
import sys
import threading

import boto3
from azure.storage.blob import BlobServiceClient
from moto.server import ThreadedMotoServer

BUCKET = "tresor-test"
# The account that Azurite knows without configuration; its key is public.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def start_s3():
    """An S3 server with the bucket; returns its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test")
    client.create_bucket(Bucket=BUCKET)
    return address


def start_azure(folder):
    """An Azure Blob server with the container; returns its process and address."""
    program = os.path.join(folder, "node_modules", "azurite", "dist", "src", "blob", "main.js")
    process = subprocess.Popen(
        ["node", program, "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence",
         "--skipApiVersionCheck", "--disableTelemetry", "--silent"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        found = re.search(r"listen\w* (?:at|on) (http://[0-9.:]+)", line)
        if found:
            # Nobody else reads what it says: a full pipe would stop it.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            address = f"{found.group(1)}/{ACCOUNT}"
            service = BlobServiceClient(address, credential=KEY)
            service.create_container(BUCKET)
            return process, address
    sys.exit("azurite did not start:\n" + "".join(said))


def main():
    folder, command = sys.argv[1], sys.argv[2:]
    environment = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("AWS_", "AZURE_"))}
    s3 = start_s3()
    azurite, blob = start_azure(folder)
    environment.update(
        AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1",
        AWS_ENDPOINT_URL=s3, AWS_ALLOW_HTTP="true", AZURE_STORAGE_ACCOUNT_NAME=ACCOUNT,
        AZURE_STORAGE_ACCOUNT_KEY=KEY, AZURE_STORAGE_ENDPOINT=blob, AZURE_ALLOW_HTTP="true",
        TRESOR_TEST_BUCKET=BUCKET, TRESOR_TEST_CONTAINER=BUCKET)
    # The command must not look for a Python set-up of ours.
    environment.pop("PYTHONPATH", None)
    try:
        code = subprocess.call(command, env=environment)
    finally:
        azurite.kill()
    # Threads of the S3 server that still wait for a request must not hold the end.
    sys.stdout.flush()
    os._exit(code if code >= 0 else 1)


if __name__ == "__main__":
    main()
