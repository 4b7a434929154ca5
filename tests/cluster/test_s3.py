"""A service whose files lie in S3, against a server that speaks it: outputs are the same from every face, nothing stays of what is gone,
and while S3 is away, full or broken nothing is lost and whoever asks is told so."""

import io, random

import PIL.Image
import pytest
from ltx.v1 import generation_pb2 as g, generation_service_pb2 as calls

from harness.client import Insistent, insist, refused
from harness.command import said
from harness.events import in_order, kind, repeated, told
from harness.node import QUICK, free_port
from harness.paths import MODELS
from harness.requests import KINDS, image, small
from harness.s3 import BUCKET, OTHER, key
from harness.service import FACE, cut, ended, killed_in_the_middle
from harness.tls import TRUST, Front
from harness.waiting import eventually

OUTPUTS = [g.OUTPUT_MP4, g.OUTPUT_POSTER, g.OUTPUT_SIDECAR]
AWAY = "the cluster's files cannot be reached"
BACK = "the cluster's files are reached again"
SLOW_DOWN = ("503 Slow Down", "<Error><Code>SlowDown</Code><Message>arn:of:somebody</Message></Error>")
DENIED = ("403 Forbidden", "<Error><Code>AccessDenied</Code><Message>arn:of:somebody</Message></Error>")
PROXY = ("502 Bad Gateway", "<html>arn:of:somebody</html>")
NO_BUCKET = ("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>")
FULL = ("507 Insufficient Storage", "<Error><Code>XMinioStorageFull</Code></Error>")
QUOTA = ("403 Forbidden", "<Error><Code>QuotaExceeded</Code></Error>")
# More than is sent at once, and less than an image may have.
LARGE = (1900, 1700)


def noise(size=LARGE):
    """A picture that nothing makes smaller."""
    picture = PIL.Image.frombytes("RGB", size, random.Random(1).randbytes(size[0] * size[1] * 3))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def well(s3):
    """The S3 service, which answers as it should whatever a test did before."""
    yield s3
    s3.answers()


def on(names, shelf):
    return [name for name in names if name.startswith(f"{shelf}/")]


def test_every_face_has_the_same_files_and_nothing_stays_of_what_is_gone(nats, well, service):
    service = service(nats, 2, 2, settings=well.settings(), name="gone")
    one, two = (Insistent(face.client) for face in service.faces)
    ids = [one.create(asked()).id for asked in KINDS.values()]
    for id_ in ids:
        assert ended(two, id_).state == g.GENERATION_STATE_DONE
        for output in OUTPUTS:
            assert one.download(id_, output) == two.download(id_, output) != b""
    there = well.objects("gone")
    assert on(there, "outputs") == sorted(f"outputs/{id_}/1/{name}" for id_ in ids for name in ("generation.json", "poster.png", "video.mp4"))
    assert len(on(there, "images")) == 2, "each picture once"
    eventually(lambda: not on(well.objects("gone"), "latents"), "latents are gone")
    insist(service.faces[0].client, lambda client: client.generations.DeleteGeneration(calls.DeleteGenerationRequest(id=ids[0])))
    assert not [name for name in well.objects("gone") if ids[0] in name]
    # The rest has been kept long enough for whichever node sweeps.
    for worker in service.workers:
        worker.stop()
    for face in service.faces:
        face.stop()
        face.settings.append("retention.output_hours=0.000001")
        face.start()
    eventually(lambda: not on(well.objects("gone"), "outputs"), "outputs are swept")
    with service.faces[0].client() as client:
        assert refused(client.download, ids[1]).reason == "OUTPUT_NOT_FOUND"
    assert well.unfinished("gone") == []


def test_what_a_killed_worker_left_unfinished_goes(nats, well, service):
    # One worker: nobody takes the clip over before it is back.
    service = service(nats, 2, 1, settings=well.settings(), name="left")
    one, two = (Insistent(face.client) for face in service.faces)
    _, id_, worker = killed_in_the_middle(service, one)
    # As a worker leaves it that is killed while it sends a part.
    begun = f"outputs/{id_}/1/video.mp4"
    where = {"Bucket": BUCKET, "Key": key("left", begun)}
    upload = well.client.create_multipart_upload(**where)["UploadId"]
    well.client.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"frames")
    assert well.unfinished("left") == [begun]
    worker.launch().says_ready()
    assert ended(two, id_).state == g.GENERATION_STATE_DONE and two.get(id_).resumptions >= 1
    assert well.unfinished("left") == []


def test_a_large_file_goes_in_parts_and_none_of_it_stays_where_that_fails(nats, well, service):
    service = service(nats, 1, 1, settings=well.settings(), name="large")
    picture, face = noise(), Insistent(service.faces[0].client)
    assert len(picture) > 8 << 20
    with service.faces[0].client() as client:
        well.answers("500 Internal Server Error", methods=["POST"], query="uploadId")
        refusal = refused(client.create, small(image=image(picture)))
        assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE"), refusal
        well.answers()
        assert (well.objects("large"), well.unfinished("large")) == ([], [])
    id_ = face.create(small(image=image(picture)), "large").id
    parts = {query for method, path, query, _ in well.asked() if method == "PUT" and key("large") in path and "partNumber" in query}
    assert {query.split("partNumber=")[1].split("&")[0] for query in parts} == {"1", "2"}
    (name,) = well.objects("large")
    assert well.client.get_object(Bucket=BUCKET, Key=key("large", name))["Body"].read() == picture
    assert ended(face, id_).state == g.GENERATION_STATE_DONE
    ranges = [range_ for method, path, _, range_ in well.asked() if method == "GET" and path.endswith(name)]
    assert {"bytes=0-8388607", "bytes=8388608-16777215"} <= set(ranges), ranges


def test_nothing_is_lost_while_s3_is_away(nats, well, service, alone):
    service = service(nats, 2, 1, settings=well.settings(), name="away")
    one, two = (Insistent(face.client) for face in service.faces)
    with alone() as client:
        wanted = client.finished(cut(7)).mark.frames_sha256
    before = one.create(small()).id
    assert ended(one, before).state == g.GENERATION_STATE_DONE
    # Latents are kept from nobody before S3 has gone, so that the clip is not over by then.
    well.answers(*SLOW_DOWN, methods=["PUT"], path="/latents/")
    id_ = one.create(cut(7)).id
    eventually(lambda: AWAY in service.workers[0].log(), "the worker says that it waits")
    well.go()
    try:
        with service.faces[0].client() as face:
            for asked in (lambda: face.download(before), lambda: face.create(small(9))):
                refusal = refused(asked)
                assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE"), refusal
                assert refusal.details["RetryInfo"], refusal
            assert face.get(id_).state == g.GENERATION_STATE_RUNNING
    finally:
        well.come()
        well.answers()
    events = two.watch(id_)
    assert in_order(events) and kind(events[-1]) == "done" and repeated(events) == (0, 0), told(events)
    assert one.get(id_).mark.frames_sha256 == wanted
    assert one.download(id_) == two.download(id_)
    assert BACK in service.workers[0].log()


def test_what_s3_answers_is_what_clients_are_told(nats, well, service):
    service = service(nats, 1, 1, settings=(*well.settings(), "log.level=trace"), name="answers")
    face = Insistent(service.faces[0].client)
    id_ = face.create(small()).id
    assert ended(face, id_).state == g.GENERATION_STATE_DONE
    clip = face.download(id_)
    with service.faces[0].client() as client:
        for answer in [SLOW_DOWN, DENIED, PROXY, NO_BUCKET, "silent", "cut"]:
            well.answers(*answer, methods=["GET"]) if isinstance(answer, tuple) else well.answers(methods=["GET"], **{answer: True})
            refusal = refused(client.download, id_)
            assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE"), (answer, refusal)
            assert refusal.details["RetryInfo"] and "arn:of" not in refusal.message, (answer, refusal.message)
        for answer in [SLOW_DOWN, DENIED, PROXY]:
            well.answers(*answer, methods=["PUT"])
            refusal = refused(client.create, small(5, image=image(noise((64, 64)))))
            assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE"), (answer, refusal)
        for answer in [FULL, QUOTA]:
            well.answers(*answer, methods=["PUT"])
            refusal = refused(client.create, small(5, image=image(noise((64, 64)))))
            assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_FULL"), (answer, refusal)
    well.answers()
    assert face.download(id_) == clip
    again = face.create(small(5, image=image(noise((64, 64))))).id
    assert ended(face, again).state == g.GENERATION_STATE_DONE
    for node in (*service.faces, *service.workers):
        assert well.keys["secret"] not in node.log()


def test_a_node_says_at_the_start_what_is_wrong_with_its_bucket(nats, well, service, tmp_path, monkeypatch):
    settings = well.settings()
    service(nats, 1, 0, settings=settings, name="wrong")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)

    def start(expected, words=(), environment=None, kept=("bucket", "endpoint", "prefix", "credentials_file", "allow_http"), **changed):
        ours = [setting for setting in settings if setting.split("=")[0].removeprefix("cluster.s3_") in set(kept) - set(changed)]
        ours += [f"cluster.s3_{key}={value}" for key, value in changed.items() if value is not None]
        every = (*QUICK, *nats.settings("wrong"), "cluster.silent_seconds=60", FACE, f"listen=127.0.0.1:{free_port()}", *ours, *words)
        command = ["serve", f"--data-dir={tmp_path}/wrong", f"--models-dir={MODELS}", "--model=ltx-2.3-tiny"]
        ended = said(*command, *(word for setting in every for word in ("--set", setting)), **(environment or {}))
        assert ended.returncode in (1, 2) and expected in ended.stderr, (expected, ended.stderr)
        assert well.keys["secret"] not in ended.stderr and "panicked" not in ended.stderr

    start("cluster.s3_bucket = no-such-bucket: there is no such bucket", bucket="no-such-bucket")
    wrong = well.credentials_of(well.keys["id"], "not-the-secret")
    start(f"cluster.s3_credentials_file = {wrong}: the credentials are refused", credentials_file=wrong)
    nobody = well.credentials_of("AKIAIOSFODNN7EXAMPLE", "not-a-secret")
    start(f"cluster.s3_credentials_file = {nobody}: the credentials are refused", credentials_file=nobody)
    start(f"cluster.s3_credentials_file = {tmp_path}/none: No such file", credentials_file=tmp_path / "none")
    start("cluster.s3_endpoint = http://127.0.0.1:1: the bucket cannot be listed", endpoint="http://127.0.0.1:1")
    start(f"cluster.s3_endpoint = {well.address}: is http", allow_http=None)
    start("cluster.s3_credentials_file = \"\": the environment has an access key and no secret", credentials_file=None, environment={"AWS_ACCESS_KEY_ID": "x"})
    # The service's files lie elsewhere.
    start("cluster.s3_bucket = s3://other/clips/wrong: the service has its files in s3://files/clips/wrong", bucket=OTHER)
    start("cluster.s3_bucket = s3://files/wrong: the service has its files in s3://files/clips/wrong", prefix=None)
    start('cluster.s3_bucket = "": the service has its files in s3://files/clips/wrong', kept=())
    # Keys from the environment come as far.
    keys = {"AWS_ACCESS_KEY_ID": well.keys["id"], "AWS_SECRET_ACCESS_KEY": well.keys["secret"]}
    start("cluster.s3_bucket = s3://other/clips/wrong: the service has", bucket=OTHER, credentials_file=None, environment=keys)
    for alone in ("endpoint=http://x", "prefix=a"):
        start(f"cluster.s3_{alone.split('=')[0]} = ", kept=(), words=(f"cluster.s3_{alone}",))


def test_s3_behind_tls_is_held_against_what_the_system_trusts(nats, well, nodes, tmp_path):
    with Front(well.port) as front:
        # Without s3_allow_http.
        settings = (*QUICK, *nats.settings("tls"), *well.settings(endpoint=front.address, allow_http=None))
        node = nodes(*settings, environment=TRUST)
        with node.client() as client:
            made = client.finished(small(3))
            assert client.download(made.id)[4:8] == b"ftyp"
        assert on(well.objects("tls"), "outputs") and front.connections > 0
        node.stop()
        words = ["serve", f"--data-dir={tmp_path / 'distrusts'}", "--listen=127.0.0.1:0", f"--models-dir={MODELS}", "--model=ltx-2.3-tiny"]
        refused_ = said(*words, *(f"--set={setting}" for setting in settings))
        assert refused_.returncode != 0 and "s3_endpoint" in refused_.stderr and "certificate" in refused_.stderr, refused_.stderr
