"""Each reason of the policy table once, as a client that is not ours sees it: gRPC code, details and remedy as
proto/ltx/v1/errors.proto documents them, and the same from the dry run. The rows themselves are tested in ltx-policy and
ltx-server."""

import re

import pytest
from ltx.v1 import errors_pb2, policy_service_pb2 as policy, spec_pb2 as spec

from harness import folder
from harness.client import NUMBERS, Insistent, documented, refused
from harness.node import QUICK, Nodes
from harness.paths import GUARD
from harness.requests import both, image

CODES = documented("policy, in table order")
REMEDIES = {
    "NOT_AN_UNLIMITED_METHOD": "attach an image, or a start and an end image",
    "ELEMENT_EDITING_NOT_SUPPORTED": "generate again from an image",
    "AUDIO_NOT_COVERED": "ask without audio",
    "EXTERNAL_MODEL_NOT_COVERED": "Use Carat Basic Video (LTX 2.3)",
    "LOW_CREDITS": "use Agent 1.0",
    "PLAN_NOT_COVERED": "Premium, Pro, Business",
    "UNKNOWN_MODEL": "ltx-2.3-tiny",
    "MODEL_NOT_LOADED": "ltx-2.3-tiny",
}


def good(**more):
    return spec.GenerationSpec(**{"prompt": "A heron takes off.", "image": image(), "seed": 7, **more})


LOW = spec.Caller(agent=spec.AGENT_2, credits_low=True, plan="Basic")
REFUSED = {
    "text only": (spec.GenerationSpec(prompt="A heron."), ["NOT_AN_UNLIMITED_METHOD"]),
    "editing elements": (good(element_edit=spec.ElementEdit(instruction="Go.")), ["ELEMENT_EDITING_NOT_SUPPORTED"]),
    "audio, with a bad size": (good(audio=spec.AudioSpec(track=True), width=100), ["AUDIO_NOT_COVERED"]),
    "a model of another vendor": (good(model="kling 2.1"), ["EXTERNAL_MODEL_NOT_COVERED"]),
    "a model that the operator calls external": (good(model="Housebrand"), ["EXTERNAL_MODEL_NOT_COVERED"]),
    "low credits": (good(model="tiny", caller=spec.Caller(agent=spec.AGENT_2, credits_low=True)), ["LOW_CREDITS"]),
    "plan Basic": (good(caller=spec.Caller(plan="Basic")), ["PLAN_NOT_COVERED"]),
    "a model nobody knows": (good(model="nosuch"), ["UNKNOWN_MODEL"]),
    "a model that is not loaded": (good(model="ltx-2.3-dev"), ["MODEL_NOT_LOADED"]),
    "everything at once": (
        spec.GenerationSpec(model="Kling", audio=spec.AudioSpec(track=True), element_edit=spec.ElementEdit(), caller=LOW),
        ["NOT_AN_UNLIMITED_METHOD", "ELEMENT_EDITING_NOT_SUPPORTED", "AUDIO_NOT_COVERED", "EXTERNAL_MODEL_NOT_COVERED",
         "LOW_CREDITS", "PLAN_NOT_COVERED"],
    ),
}  # fmt: skip
ADMITTED = {
    "one image": good(),
    "a start and an end image": spec.GenerationSpec(prompt="A heron.", start_end_images=both(), frames=9),
    "a model's name in the prompt": good(prompt="Kling style, made with Veo and sound effects"),
}


@pytest.fixture(scope="module")
def judge(tmp_path_factory, store):
    """A node that judges, and has nothing else to do."""
    with Nodes(tmp_path_factory.mktemp("policy"), store) as nodes:
        yield nodes(*QUICK, "policy.external_models=Housebrand").measured()


@pytest.fixture
def client(judge):
    with judge.client() as client:
        yield client


def says(refusal, reasons):
    """A refusal says its reasons in table order, each with its remedy, in all three places."""
    assert refusal.code == CODES[reasons[0]]
    [info], [help_], [sentence] = (refusal.details[kind] for kind in ("ErrorInfo", "Help", "LocalizedMessage"))
    assert (info.reason, info.domain, info.metadata["reasons"]) == (reasons[0], "ltxd", ",".join(reasons))
    assert sentence.locale == "en"
    assert len(help_.links) == len(reasons)
    for reason, link in zip(reasons, help_.links):
        assert info.metadata[f"why.{reason}"]
        for text in (info.metadata[f"remedy.{reason}"], link.description, sentence.message):
            assert REMEDIES[reason] in text


def test_every_documented_reason_is_asked_for():
    assert {reasons[0] for _, reasons in REFUSED.values()} == set(CODES) == set(REMEDIES)


@pytest.mark.both_stores
@pytest.mark.parametrize("asked", REFUSED)
def test_refused_as_documented_and_nothing_is_kept(judge, client, asked):
    request, reasons = REFUSED[asked]
    before = folder.rows(judge.data), folder.files(judge.data)
    says(refused(client.create, request), reasons)
    dry = client.check(request)
    assert dry.verdict == policy.VERDICT_REFUSED and dry.sentence
    assert [errors_pb2.ErrorReason.Name(ground.reason).removeprefix("ERROR_REASON_") for ground in dry.grounds] == reasons
    for reason, ground in zip(reasons, dry.grounds):
        assert REMEDIES[reason] in ground.remedy and ground.grpc_code == NUMBERS[CODES[reason]]
    assert (folder.rows(judge.data), folder.files(judge.data)) == before


@pytest.mark.both_stores
def test_the_calls_of_what_is_excluded_are_refused(client):
    edit = policy.EditElementsRequest(edit=spec.ElementEdit(generation_id="x"), model="tiny")
    says(refused(client.policy.EditElements, edit, timeout=GUARD), ["ELEMENT_EDITING_NOT_SUPPORTED"])
    audio = policy.GenerateAudioRequest(generation_id="x", audio=spec.AudioSpec(background_music="harp"), model="tiny")
    says(refused(client.policy.GenerateAudio, audio, timeout=GUARD), ["AUDIO_NOT_COVERED"])


# Last: what is admitted adds rows, and runs.
@pytest.mark.both_stores
@pytest.mark.parametrize("asked", ADMITTED)
def test_admitted(judge, client, asked):
    dry = client.check(ADMITTED[asked])
    assert dry.verdict == policy.VERDICT_UNLIMITED and dry.sentence and not dry.grounds
    insistent = Insistent(judge.client)
    insistent.cancel(insistent.create(ADMITTED[asked], re.sub(r"\W", "-", asked)).id)
