"""An S3 service (moto's, which keeps everything in memory) as a process that is told on its standard input how to answer, a line of JSON
each, and says a line when it does: it may be away, and has lost nothing when it is back. Started by harness/s3.py."""

import json, sys, threading, urllib.request

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}]}


class Moods:
    """Between the server and the service: answers as it is told, and remembers what was asked."""

    def __init__(self, service):
        self.service, self.mood, self.asked, self.changed = service, {}, [], threading.Condition()

    def told(self, mood):
        with self.changed:
            self.mood = mood
            self.changed.notify_all()

    def __call__(self, environment, start):
        method, query = environment["REQUEST_METHOD"], environment.get("QUERY_STRING", "")
        self.asked.append([method, environment["PATH_INFO"], query, environment.get("HTTP_RANGE", "")])
        path = environment["PATH_INFO"]
        is_meant = method in self.mood.get("methods", []) and self.mood.get("query", "") in query and self.mood.get("path", "") in path
        mood = self.mood if is_meant else {}
        if mood.get("silent"):
            with self.changed:
                self.changed.wait_for(lambda: self.mood is not mood)
        if "status" in mood:
            # What is sent is read, as a service does that then cannot keep it.
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            start(mood["status"], [("Content-Type", "application/xml")])
            return [] if method == "HEAD" else [mood["body"].encode()]
        answer = self.service(environment, start)
        return self.cut(b"".join(answer)) if mood.get("cut") else answer

    def cut(self, body):
        """Half of an answer, and then the connection ends."""
        yield body[: len(body) // 2]
        raise ConnectionAbortedError


class Server:
    def __init__(self, port, app):
        self.port, self.app, self.server = port, app, None

    def come(self):
        self.server = make_server("127.0.0.1", self.port, self.app, threaded=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def go(self):
        self.server.shutdown()
        self.server.server_close()


def user(port, names):
    """Keys that may do everything; from then on every other key is refused."""
    address = f"http://127.0.0.1:{port}"
    anybody = {"endpoint_url": address, "region_name": "us-east-1", "aws_access_key_id": "setup", "aws_secret_access_key": "setup"}
    iam, s3 = boto3.client("iam", **anybody), boto3.client("s3", **anybody)
    iam.create_user(UserName="ltxd")
    iam.put_user_policy(UserName="ltxd", PolicyName="all", PolicyDocument=json.dumps(POLICY))
    for name in names:
        s3.create_bucket(Bucket=name)
    key = iam.create_access_key(UserName="ltxd")["AccessKey"]
    plain = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset-auth", data=b"0", headers=plain)).read()
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def main():
    port, *buckets = sys.argv[1:]
    moods = Moods(DomainDispatcherApplication(create_backend_app))
    server = Server(int(port), moods)
    server.come()
    say = lambda what: print(json.dumps(what), flush=True)
    say(user(port, buckets))
    for line in sys.stdin:
        match json.loads(line):
            case "go":
                say(server.go())
            case "come":
                say(server.come())
            case "asked":
                say(moods.asked)
            case mood:
                say(moods.told(mood))


main()
