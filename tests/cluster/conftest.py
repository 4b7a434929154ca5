"""Fixtures: services of several nodes, three NATS servers, and a node alone, whose frames are those to be made."""

from contextlib import contextmanager

import pytest

from harness.nats import Nats
from harness.node import QUICK, Nodes
from harness.requests import undisturbed
from harness.s3 import S3
from harness.service import Service


@pytest.fixture
def service(tmp_path):
    """Starts a service: service(nats, faces, workers); its nodes end with the test."""
    with Nodes(tmp_path) as nodes:
        yield lambda *what, **more: Service(nodes, *what, **more).start()


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """An S3 service for all tests: each has names of its own in it, and leaves it as it should be."""
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def three(tmp_path):
    """Three NATS servers that keep three copies."""
    with Nats(tmp_path, count=3) as servers:
        yield servers


@pytest.fixture
def alone(tmp_path):
    """Makes clients of a node alone, which ends with its client."""
    (tmp_path / "alone").mkdir()

    @contextmanager
    def client():
        with Nodes(tmp_path / "alone") as nodes, nodes(*QUICK).client() as client:
            yield client

    return client


@pytest.fixture
def wanted(alone):
    """{kind: digest of its frames} by a node alone."""
    with alone() as client:
        return undisturbed(client)[0]
