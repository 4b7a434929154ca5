"""Two served models in turn: each one's own frames, name, weights and calibration."""

import pytest

from harness.node import QUICK
from harness.requests import small
from harness.waiting import eventually

ASKED = {"ltx-2.3-tiny": small(model="tiny"), "ltx-2.3-small": small(model="small", width=128, height=128)}


@pytest.fixture
def alone(nodes):
    """{model: mark} of nodes that serve nothing else."""
    marks = {}
    for name, asked in ASKED.items():
        node = nodes(*QUICK, f"models={name}", name=f"only-{name}")
        with node.client() as client:
            marks[name] = client.finished(asked).mark
        node.stop()
    return marks


def test_two_models_in_turn(alone, nodes):
    def told(mark):
        return mark.model, mark.model_version, mark.weights.header_sha256, mark.frames_sha256

    def served():
        """The models that are loaded, once the digests of their files are known."""
        found = {model.name: model for model in client.about().models if model.loaded}
        return found if all(model.weights.file_sha256 for model in found.values()) else None

    with nodes(*QUICK, f"models={','.join(ASKED)}", name="both").client() as client:
        made = [(name, client.create(ASKED[name]).id) for name in [*ASKED, *reversed(ASKED), *ASKED]]
        for name, id_ in made:
            assert told(client.watch(id_)[-1].done.generation.mark) == told(alone[name])
        models = eventually(served, "both models' digests are known")
        assert sorted(models) == sorted(ASKED)
        assert len({model.weights.file_sha256 for model in models.values()}) == 2
        about = client.about()
        assert about.models[0].name == "ltx-2.3-tiny" and about.models[0].default
        assert 0 < about.memory.resident_weight_bytes < about.memory.resident_bytes
        for name, asked in ASKED.items():
            dry = client.check(asked)
            assert dry.model == name and dry.estimate.fits and dry.estimate.resources.seconds > 0
