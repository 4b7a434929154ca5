"""What a node answers, as exceptions."""

import grpc
import ltxd
import pytest
from ltxd.testing import faults

# A reason of every group, and what it becomes.
KINDS = {
    "AUDIO_NOT_COVERED": ltxd.PolicyRefused,
    "MODEL_NOT_LOADED": ltxd.PolicyRefused,
    "DOES_NOT_FIT": ltxd.LimitReached,
    "STORAGE_FULL": ltxd.LimitReached,
    "INVALID_FIELD": ltxd.InvalidField,
    "UNAUTHENTICATED": ltxd.Unauthenticated,
    "GENERATION_NOT_FOUND": ltxd.NotFound,
    "REQUEST_ID_REUSED": ltxd.Refused,
    "INTERNAL": ltxd.Refused,
}


@pytest.fixture
def client(ltxd_nodes):
    return ltxd_nodes(faults={}).client


def test_each_reason_has_its_exception(client, spec):
    for reason, kind in KINDS.items():
        with pytest.raises(ltxd.Refused) as refused:
            client.with_metadata(faults(refuse=reason)).create(spec)
        assert type(refused.value) is kind, reason
        assert refused.value.reason == reason and refused.value.reasons[0] == reason
        assert refused.value.metadata["testing"] == f"refuse={reason}"


def test_every_wrong_field_is_told(client, spec):
    spec.width, spec.frames = 70, 10
    with pytest.raises(ltxd.InvalidField) as refused:
        client.create(spec)
    wrong = {violation.field: violation.nearest for violation in refused.value.violations}
    assert wrong == {"width": "64 or 96", "frames": "9 or 17"}
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT and refused.value.retry_after is None
    assert "70" in str(refused.value)


def test_several_reasons_come_with_their_remedies(client, spec):
    spec.audio.track = True
    spec.caller.plan = "Free"
    with pytest.raises(ltxd.PolicyRefused) as refused:
        client.create(spec)
    assert refused.value.reasons == ("AUDIO_NOT_COVERED", "PLAN_NOT_COVERED")
    assert all(ground.why and ground.remedy for ground in refused.value.grounds)


def test_when_to_try_again(client, spec):
    with pytest.raises(ltxd.LimitReached) as refused:
        client.with_metadata(faults(unavailable_seconds=1.5)).create(spec)
    assert (refused.value.reason, refused.value.retry_after) == ("SHUTTING_DOWN", 1.5)


def test_a_failed_generation_says_why(client, spec):
    generation = client.with_metadata(faults(fail_at_step=2)).create(spec)
    with pytest.raises(ltxd.GenerationFailed) as failed:
        client.wait(generation.id)
    assert failed.value.generation_id == generation.id and failed.value.reason == "ENGINE"
    assert not failed.value.retryable


def test_nobody_there():
    with ltxd.Client("127.0.0.1:1", patience=0) as client:
        with pytest.raises(ltxd.ConnectionLost):
            client.node()
        with pytest.raises(ltxd.ConnectionLost):
            client.create(ltxd.v1.GenerationSpec(prompt="A lake."))


@pytest.mark.parametrize("address", ["ftp://host", "http://", "http://host/path", "host:port", "http://name@host", "http://host#part"])
def test_what_is_no_address(address):
    with pytest.raises(ValueError):
        ltxd.Client(address)
