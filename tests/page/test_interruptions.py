"""A node that is killed in the middle, wrong and removed tokens, clients apart, outputs that are gone: nothing is lost."""

import re, shutil
from contextlib import suppress

import grpc
import pytest
from playwright.sync_api import expect

from harness.command import ltxd
from harness.node import QUICK, SMALL
from harness.page import END, START, Tab, choose, free, make, state
from harness.requests import endless, small

# As by `kill -9`, once this step of a clip is saved.
DIES = "testing.restart_at_step=3"


def test_a_node_that_is_killed_and_started_again(browser, nodes):
    node = nodes(*QUICK, "testing.enabled=true", DIES, model=SMALL)
    # What is ahead keeps the page's clip, and with it the end of the node, until the page follows it.
    with node.client() as client:
        ahead = client.create(endless(), faults="slow-steps-ms=2000, restart-at-step=1000").id
    tab = Tab(browser, node)
    page = tab.open()
    page.get_by_label("Prompt", exact=True).fill("A yellow circle.")
    choose(page, "Image", START)
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_label("Guided", exact=True).check()
    page.get_by_label("Steps", exact=True).fill("100")
    page.get_by_label("Steps", exact=True).press("Enter")
    id_ = make(page)
    expect(page.locator(".place")).to_be_visible()
    # It may end before it answers.
    with node.client() as client, suppress(grpc.RpcError):
        client.cancel(ahead)
    node.ended()
    expect(page.get_by_text("The node cannot be reached.")).to_be_visible()
    # What is chosen and asked while it is away waits, and is asked once.
    page.get_by_role("link", name="Make", exact=True).click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("A yellow circle.")
    page.locator("summary", has_text="Sampling").click()
    page.get_by_label("Distilled", exact=False).first.check()
    page.get_by_label("From one image", exact=True).check()
    page.get_by_label("Replace: Image").set_input_files(END)
    expect(page.get_by_text("The upload waits for the node and goes on by itself.")).to_be_visible()
    page.get_by_role("button", name="Make the clip").click(force=True)
    node.settings.remove(DIES)
    node.start()
    page.wait_for_url(re.compile("#/clip/"))
    state(page, "Done")
    expect(page.get_by_text("The node has been restarted.")).to_be_visible()
    tab.open(f"clip/{id_}")
    state(page, "Done")
    with node.client() as client:
        assert len(client.list()) == 3 and client.get(id_).resumptions == 1
    tab.context.close()
    tab.flawless()


@pytest.fixture
def tokens(tmp_path):
    """{client: token}, both in the node's file."""
    found, lines = {}, []
    for name in ("web", "app"):
        made = ltxd("config", "hash-token", name, "--new")
        lines.append(made.stdout)
        found[name] = made.stderr.strip()
    (tmp_path / "tokens").write_text("".join(lines))
    return found


def enter(page, token):
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Use this token").click()


def test_tokens_and_clients_that_do_not_see_each_other(browser, nodes, tmp_path, tokens):
    node = nodes.make(*QUICK, f"tokens_file={tmp_path}/tokens", model=SMALL, token=tokens["web"]).start()
    web, app = Tab(browser, node), Tab(browser, node)
    page = web.open()
    expect(page.get_by_role("heading", name="This node asks for a token")).to_be_visible()
    enter(page, "f" * 64)
    expect(page.get_by_role("heading", name="The node does not know this token")).to_be_visible()
    enter(page, tokens["web"])
    expect(page.get_by_role("dialog")).to_be_hidden()
    choose(page, "Image", START)
    page.get_by_label("Prompt", exact=True).fill("Only for web.")
    id_ = make(page)
    state(page, "Done")
    other = app.open("clips")
    enter(other, tokens["app"])
    expect(other.get_by_role("heading", name="No clips yet")).to_be_visible()
    app.open(f"clip/{id_}")
    expect(other.get_by_role("heading", name="There is no such clip")).to_be_visible()
    # web's token is taken off the list; app's goes on. What is in the form outlives it.
    page.get_by_role("link", name="Make", exact=True).click()
    node.stop()
    (tmp_path / "tokens").write_text((tmp_path / "tokens").read_text().splitlines()[1] + "\n")
    node.token = tokens["app"]
    node.start()
    expect(page.get_by_role("heading", name="The node does not know this token")).to_be_visible()
    enter(page, tokens["app"])
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("Only for web.")
    # The picture was web's upload; it is sent again as app's.
    make(page)
    state(page, "Done")
    for tab in (web, app):
        assert all(token not in tab.page.url for token in tokens.values())
        tab.context.close()
        tab.flawless()


def test_outputs_whose_time_is_over(tab):
    with tab.node.client() as client:
        made = client.finished(small(prompt="A heron, once."))
    tab.node.expire(made.id)
    page = tab.open(f"clip/{made.id}")
    expect(page.get_by_role("heading", name="The node no longer keeps its files")).to_be_visible()
    state(page, "Done")
    # What can still be had: the record with its mark, and the request.
    expect(page.get_by_text("Unlimited: no credits")).to_be_visible()
    expect(page.locator(".video, .compare")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("^Download"))).to_have_count(0)
    page.get_by_role("button", name="Take into the form").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("A heron, once.")
    expect(page.get_by_role("alert").filter(has_text="The node no longer keeps the pictures.")).to_be_visible()
    page.get_by_role("link", name="Clips", exact=True).click()
    expect(page.locator(".tile", has_text="A heron, once.")).to_contain_text("Files expired")


def test_outputs_that_are_gone(tab):
    with tab.node.client() as client:
        made = client.finished(small())
        shutil.rmtree(tab.node.data / "outputs" / made.id)
    page = tab.open(f"clip/{made.id}")
    expect(page.get_by_role("alert").filter(has_text="The node no longer keeps this file")).to_be_visible()
    tab.open("clip/01a228a1-0000-7000-8000-000000000000")
    expect(page.get_by_role("heading", name="There is no such clip")).to_be_visible()
