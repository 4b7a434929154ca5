"""The page of a node that speaks TLS itself: Chromium over HTTP/2, and clients that speak HTTP/1.1 alone."""

import http.client, ssl

import pytest
from ltx.v1 import node_service_pb2 as about
from playwright.sync_api import expect

from harness.grpc_web import stated
from harness.http2 import GET_NODE, message
from harness.node import QUICK, SMALL
from harness.page import START, choose, free, patient
from harness.paths import TLS

HTTP_VERSION = "() => performance.getEntriesByType('navigation')[0].nextHopProtocol"


@pytest.fixture
def behind_tls(nodes):
    certificate = (f"tls.cert={TLS}/localhost.pem", f"tls.key={TLS}/localhost.key")
    return nodes.make(*QUICK, *certificate, model=SMALL).launch().says_ready()


def test_chromium_makes_a_clip(browser, behind_tls):
    with patient(browser.new_context(ignore_https_errors=True, locale="en-GB")) as context:
        page = context.new_page()
        page.goto(f"https://localhost:{behind_tls.port}/#/make")
        choose(page, "Image", START)
        free(page)
        page.get_by_role("button", name="Make the clip").click()
        expect(page.locator(".clip-head .state")).to_have_text("Done")
        expect(page.locator(".video video")).to_be_visible()
        assert page.evaluate(HTTP_VERSION) == "h2"


@pytest.mark.parametrize("offered", [["http/1.1"], []], ids=["http/1.1", "no ALPN"])
def test_clients_of_http_1(behind_tls, offered):
    """As curl --http1.1 offers it, and as proxies that offer nothing do."""
    context = ssl.create_default_context(cafile=TLS / "localhost.pem")
    if offered:
        context.set_alpn_protocols(offered)
    connection = http.client.HTTPSConnection("localhost", behind_tls.port, context=context)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (answer.status, answer.version) == (200, 11) and b"<script" in answer.read()
    headers = stated(behind_tls.port) | {"origin": f"https://localhost:{behind_tls.port}"}
    connection.request("POST", GET_NODE, message(about.GetNodeRequest().SerializeToString()), headers)
    data = connection.getresponse().read()
    node = about.GetNodeResponse.FromString(data[5 : 5 + int.from_bytes(data[1:5], "big")]).node
    assert node.models
    connection.close()
