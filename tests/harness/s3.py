"""An S3 service on loopback, and the settings of nodes whose files lie in it."""

import json, subprocess, sys
from pathlib import Path

import boto3
from botocore.config import Config

from harness.node import free_port
from harness.paths import ENVIRONMENT

BUCKET, OTHER, PREFIX = "files", "other", "clips"


class S3:
    """It may be away for a while, and answer as it should not; what it keeps it keeps."""

    def __init__(self, folder):
        self.folder, self.port, self.files = Path(folder), free_port(), 0

    def __enter__(self):
        # What it imports is not looked for beside it: there is a `requests` here.
        server = [sys.executable, "-P", Path(__file__).with_name("s3_server.py"), str(self.port), BUCKET, OTHER]
        with (self.folder / "s3.log").open("a") as log:
            self.process = subprocess.Popen(
                server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=ENVIRONMENT
            )
        self.keys = self.answer()
        self.credentials = self.credentials_of(self.keys["id"], self.keys["secret"])
        self.client = boto3.client(
            "s3",
            endpoint_url=self.address,
            region_name="us-east-1",
            aws_access_key_id=self.keys["id"],
            aws_secret_access_key=self.keys["secret"],
            config=Config(retries={"max_attempts": 1}),
        )
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"the S3 server ended:\n{(self.folder / 's3.log').read_text()[-2000:]}"
        return json.loads(line)

    def tell(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def go(self):
        """From now on nobody listens there."""
        self.tell("go")

    def come(self):
        """It is back, with everything that it had."""
        self.tell("come")

    def answers(self, status=None, body="", methods=("GET", "HEAD", "PUT", "POST", "DELETE"), **more):
        """To these methods, paths that have `path` and queries that have `query` in them: with this status, or `silent`, or half of each answer (`cut`);
        with no arguments as it should."""
        mood = {"methods": methods, **more} if status or more else {}
        self.tell({**mood, **({"status": status, "body": body} if status else {})})

    def asked(self):
        """[method, path, query, range] of every request so far."""
        return self.tell("asked")

    def credentials_of(self, id_, secret):
        """A file as AWS's tools write it."""
        self.files += 1
        path = self.folder / f"credentials-{self.files}"
        path.write_text(f"[default]\naws_access_key_id = {id_}\naws_secret_access_key = {secret}\n")
        return path

    def settings(self, **more):
        """Of a node; `None` leaves a key out."""
        keys = {
            "bucket": BUCKET,
            "endpoint": self.address,
            "prefix": PREFIX,
            "credentials_file": self.credentials,
            "allow_http": "true",
            **more,
        }
        return tuple(f"cluster.s3_{key}={value}" for key, value in keys.items() if value is not None)

    def objects(self, service):
        """The names of a service's files, without what marks the place as its own."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=key(service))
        names = [object_["Key"].removeprefix(key(service)) for page in pages for object_ in page.get("Contents", [])]
        return sorted(name for name in names if not name.startswith("service-"))

    def unfinished(self, service):
        """The names of uploads that nobody completed."""
        uploads = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=key(service)).get("Uploads", [])
        return [upload["Key"].removeprefix(key(service)) for upload in uploads]


def key(service, name=""):
    """What has a name in a service."""
    return f"{PREFIX}/{service}/{name}"
