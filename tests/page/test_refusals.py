"""What the class excludes, said before asking with what to do instead; a full queue; what never becomes markup."""

import re

import pytest
from ltx.v1 import generation_pb2 as g, policy_service_pb2 as policy, spec_pb2 as spec
from playwright.sync_api import expect

from harness.node import ENDLESS, QUICK, SMALL
from harness.page import START, Tab, choose, free, guided
from harness.requests import endless, image, small
from harness.waiting import eventually

# A call by gRPC-Web as the page makes it: [gRPC status, name of the reason].
CALL = """async ([path, bytes]) => {
    const frame = new Uint8Array(5 + bytes.length);
    new DataView(frame.buffer).setUint32(1, bytes.length);
    frame.set(bytes, 5);
    const headers = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
    const answer = await fetch(path, { method: "POST", headers, body: frame });
    return [...new Uint8Array(await answer.arrayBuffer())].concat([...new TextEncoder().encode(
        [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\\n"))]);
}"""


def refused(page, title, remedy):
    expect(page.get_by_role("heading", name="Would be refused")).to_be_visible()
    expect(page.locator(".grounds")).to_contain_text(title)
    expect(page.locator(".grounds")).to_contain_text(re.compile(remedy))


def test_refusals_and_their_remedies(tab):
    page = tab.open()
    choose(page, "Image", START)
    free(page)
    page.get_by_label("Model", exact=True).select_option(label="Another name…")
    page.get_by_label("Name of the model").fill("Kling 2.1")
    refused(page, "another vendor's model", "Carat Basic Video")
    page.get_by_role("button", name="Use the node's default model").click()
    free(page)
    page.get_by_text("Asking for", exact=True).click()
    page.get_by_label("Agent", exact=True).select_option(label="Agent 2.0")
    page.get_by_label("Credits", exact=True).select_option(label="Low")
    refused(page, "Agent 2.0 needs credits", "Agent 1")
    page.get_by_role("button", name="Make the clip").press("Enter")
    expect(page.locator(".verdict")).to_be_focused()
    page.get_by_role("button", name="Use Agent 1.0").first.click()
    free(page)
    page.get_by_label("Plan", exact=True).fill("Free")
    refused(page, "The plan does not carry the benefit", "Premium")
    with tab.node.client() as client:
        assert client.list() == []


def test_audio_by_the_page_s_own_way(tab):
    page = tab.open()
    asked = policy.CheckEligibilityRequest(spec=spec.GenerationSpec(image=image(b""), audio=spec.AudioSpec(track=True)))
    answer = bytes(page.evaluate(CALL, ["/ltx.v1.PolicyService/CheckEligibility", list(asked.SerializeToString())]))
    length = int.from_bytes(answer[1:5], "big")
    verdict = policy.CheckEligibilityResponse.FromString(answer[5 : 5 + length])
    assert verdict.verdict == policy.VERDICT_REFUSED and verdict.grounds[0].remedy


def test_a_full_queue(browser, nodes):
    node = nodes(*QUICK, *ENDLESS, "limits.queued_per_client=1", model=SMALL)
    with node.client() as client:
        kept = [client.create(endless())]
        tab = Tab(browser, node)
        page = tab.open()
        choose(page, "Image", START)
        page.get_by_label("Prompt", exact=True).fill("It stays.")
        free(page)
        eventually(lambda: client.get(kept[0].id).state == g.GENERATION_STATE_RUNNING, "the first is on the device")
        kept.append(client.create(small(seed=2)))
        page.get_by_role("button", name="Make the clip").click()
        expect(page.get_by_role("alert").filter(has_text="The queue is full")).to_be_visible()
        expect(page.get_by_label("Prompt", exact=True)).to_have_value("It stays.")
        for made in kept:
            client.cancel(made.id)
        page.get_by_role("button", name="Make the clip").click()
        page.wait_for_url(re.compile("#/clip/"))
    tab.context.close()
    tab.flawless()


OVER = {
    "limits.seconds=1": "It would take longer than the node allows",
    "limits.memory_bytes=1000000": "It does not fit into the node's memory",
}


@pytest.mark.parametrize("limit", OVER)
def test_what_is_more_than_the_node_allows(browser, nodes, limit):
    tab = Tab(browser, nodes(*QUICK, limit, model=SMALL).measured())
    page = tab.open()
    choose(page, "Image", START)
    page.get_by_label("Frames", exact=True).fill("481")
    page.get_by_label("Frames", exact=True).press("Tab")
    guided(page, 1000)
    expect(page.locator(".verdict-body:not(.stale) h2.bad")).to_have_text(OVER[limit])
    page.get_by_role("button", name="Make the clip").press("Enter")
    expect(page.locator(".verdict")).to_be_focused()
    page.get_by_label("Language").select_option("ko")
    expect(page.locator(".verdict-body:not(.stale) h2.bad")).not_to_have_text(OVER[limit])
    with tab.node.client() as client:
        assert client.list() == []
    tab.context.close()
    tab.flawless()


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"])
def test_a_prompt_never_becomes_markup(tab, text):
    with tab.node.client() as client:
        made = client.finished(small(prompt=text))
    page = tab.open("clips")
    expect(page.get_by_role("link", name=text)).to_be_visible()
    tab.open(f"clip/{made.id}")
    expect(page.get_by_role("heading", level=1)).to_have_text(text)
    assert page.locator("main img[src=x], main script").count() == 0
