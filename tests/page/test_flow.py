"""Both methods from dropped or pasted files to a playing video, with progress and previews; cancelling; asking again; files."""

import json, re, subprocess
from contextlib import suppress

import grpc
from ltx.v1 import generation_pb2 as g
from playwright.sync_api import expect

from harness.node import HELD, QUICK, SMALL
from harness.page import END, PROMPT, START, Tab, choose, drop, free, guided, make, paste, state
from harness.paths import ENVIRONMENT, LTXD, PICTURES
from harness.requests import small, spec
from harness.waiting import eventually

PLAYS = "video => video.play().then(() => new Promise(done => video.requestVideoFrameCallback(() => done(video.videoWidth))))"


def test_one_image(slow_tab):
    page, node = slow_tab.open(), slow_tab.node
    drop(page, START)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    expect(page.get_by_test_id("tokens")).to_have_text(re.compile(r"^\d+ of 1,024 tokens$"))
    guided(page, 40)
    make(page)
    expect(page.locator(".step")).to_have_text(re.compile(r"^Step \d+ of 40$"))
    expect(page.locator(".preview img")).to_be_visible()
    # From here on at its own pace.
    node.stop()
    node.settings = list(QUICK)
    node.start()
    state(page, "Done")
    assert page.locator(".video video").evaluate(PLAYS) == 128
    # Given against made, in the node's numbers and in the page's own.
    expect(page.get_by_test_id("psnr")).to_have_text(re.compile(r"^\d+\.\d dB$"))
    by_node, by_page = (float(cell.split()[0]) for cell in page.locator(".numbers td:nth-child(2)").all_inner_texts() if "dB" in cell)
    assert by_node > 15 and abs(by_node - by_page) < 3
    page.get_by_label("Over", exact=True).check()
    slider = page.get_by_label("How much of the given image is shown")
    slider.press("End")
    assert slider.input_value() == "100"
    expect(page.get_by_text("Unlimited: no credits")).to_be_visible()


def test_between_two_images(tab):
    page = tab.open()
    drop(page, START, END)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    id_ = make(page)
    state(page, "Done")
    assert page.locator(".video video").evaluate(PLAYS) == 128
    page.get_by_label("Last frame", exact=True).check()
    expect(page.get_by_test_id("psnr")).to_have_text(re.compile(r"^\d+\.\d dB$"))
    files = {}
    for name in ("MP4", "Poster", "Sidecar"):
        with page.expect_download() as saved:
            page.get_by_role("button", name=f"Download {name}").click()
        files[name] = saved.value.path().read_bytes()
    assert files["MP4"][4:8] == b"ftyp" and files["Poster"][:4] == b"\x89PNG" and json.loads(files["Sidecar"])
    # Again, with another seed: another clip of the same pictures.
    seed = page.locator("dt:text-is('Seed') + dd").first.inner_text()
    page.get_by_role("button", name="Again with another seed").click()
    page.wait_for_url(lambda url: id_ not in url)
    state(page, "Done")
    assert page.locator("dt:text-is('Seed') + dd").first.inner_text() != seed
    # Into the form, with the pictures.
    page.get_by_role("button", name="Take into the form").click()
    expect(page.get_by_role("heading", name="Make a clip")).to_be_visible()
    expect(page.locator("canvas.crop")).to_have_count(2)
    free(page)
    # Playing in place.
    page.get_by_role("link", name="Clips", exact=True).click()
    page.get_by_role("button", name=re.compile("^Play: ")).first.click()
    assert page.locator(".tile video").evaluate(PLAYS) == 128


def test_what_is_pasted(tab):
    page = tab.open()
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.focus()
    assert not paste(page, START)
    expect(page.locator("canvas.crop")).to_have_count(1)
    expect(page.get_by_text("Uploaded")).to_be_visible()
    # A second picture goes where one is missing.
    page.get_by_label("Between two images", exact=True).check()
    assert not paste(page, END)
    expect(page.get_by_role("region", name="End image", exact=True).locator("canvas.crop")).to_be_visible()
    free(page)
    # Words are left to the field.
    prompt.focus()
    assert paste(page, "A yellow circle.")


def needs(page, name):
    """What the verdict says of one of: Memory, Time, Wait before it."""
    fact = page.locator(".verdict-body:not(.stale) .facts > div").filter(has=page.locator(f"dt:text-is('{name}')")).locator("dd")
    expect(fact).to_be_visible()
    return fact.inner_text()


def test_what_it_costs_is_said_before_an_image_is_chosen(tab):
    with tab.node.client() as client:
        eventually(lambda: client.check(small()).estimate.resources.seconds > 0, "the node knows its machine")
    page = tab.open()
    expect(page.get_by_role("heading", name="Choose an image to begin")).to_be_visible()
    least = needs(page, "Memory")
    assert re.fullmatch(r"[\d.]+ [MG]iB of [\d.]+ [MG]iB", least) and re.match(r"[\d.]+ (s|min)", needs(page, "Time"))
    page.get_by_label("Frames", exact=True).fill("481")
    page.get_by_label("Frames", exact=True).press("Tab")
    eventually(lambda: needs(page, "Memory") != least, "more frames need more memory")
    page.get_by_label("Between two images", exact=True).check()
    expect(page.get_by_role("heading", name="Choose a start and an end image")).to_be_visible()
    # What stands against it is said as early, with what to do instead.
    page.get_by_text("Asking for", exact=True).click()
    page.get_by_label("Plan", exact=True).fill("Free")
    expect(page.get_by_role("heading", name="Would be refused")).to_be_visible()
    expect(page.get_by_role("heading", name="Choose a start and an end image")).to_be_visible()
    expect(page.locator(".grounds")).to_contain_text("The plan does not carry the benefit")


def seconds(words):
    """`about 1 h 2 min left` in seconds."""
    units = {"h": 3600, "min": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+) (h|min|s)\b", words))


def test_seconds_left(browser, nodes):
    """Of two clips that differ in nothing but the step at which they are held, the one that has come further has less left."""
    node = nodes(*QUICK, "testing.enabled=true", "testing.restart_at_step=20", model=SMALL).measured()
    asked = small(schedule=spec.SCHEDULE_GUIDED, steps=40)
    # It ends itself in the middle, perhaps before it answers.
    with node.client() as client, suppress(grpc.RpcError):
        client.create(asked)
    node.ended()
    node.settings = [*QUICK, *HELD]
    node.start()
    tab, left = Tab(browser, node), {}
    with node.client() as client:
        for step in (20, 0):
            id_ = client.list()[0].id if step else client.create(asked).id
            page = tab.open(f"clip/{id_}")
            expect(page.locator(".stages .now")).to_have_text(f"Removes noiseStep {step} of 40")
            expect(page.locator(".left")).to_have_text(re.compile("^about .+ left$"))
            left[step] = seconds(page.locator(".left").inner_text())
            client.cancel(id_)
            state(page, "Cancelled")
    assert 0 < left[20] < left[0]
    tab.context.close()
    tab.flawless()


def test_cancel(endless_tab):
    page = endless_tab.open()
    choose(page, "Image", START)
    guided(page, 1000)
    id_ = make(page)
    expect(page.locator(".step")).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    state(page, "Cancelled")
    with endless_tab.node.client() as client:
        assert client.get(id_).state == g.GENERATION_STATE_CANCELLED
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("heading", name="No clips yet")).to_be_visible()


def test_only_legal_values(tab):
    page = tab.open()
    page.get_by_label("Width", exact=True).fill("130")
    page.get_by_label("Width", exact=True).press("Tab")
    expect(page.get_by_label("Width", exact=True)).to_have_value("128")
    expect(page.get_by_text("130 is not possible here; 128 is the nearest that is.").first).to_be_visible()
    page.get_by_label("Frames", exact=True).fill("9000")
    page.get_by_label("Frames", exact=True).press("Tab")
    expect(page.get_by_label("Frames", exact=True)).to_have_value("481")
    page.locator("summary", has_text="Sampling").click()
    page.get_by_label(re.compile("^Two: ")).check()
    page.get_by_label("Width", exact=True).fill("96")
    page.get_by_label("Width", exact=True).press("Tab")
    expect(page.get_by_label("Width", exact=True)).to_have_value("128")


def test_as_a_command(tab, tmp_path):
    page = tab.open()
    prompt = "It's $(touch x) `y` \"z\" \\ and\na new line"
    page.get_by_label("Prompt", exact=True).fill(prompt)
    choose(page, "Image", START)
    page.get_by_label("Seed", exact=True).fill("18446744073709551615")
    page.locator("summary", has_text="As a command").click()
    command = page.locator(".command").inner_text()
    (tmp_path / START.name).write_bytes(START.read_bytes())
    stand_in = f"PATH={LTXD.rsplit('/', 1)[0]}:$PATH; cd {tmp_path}; "
    subprocess.run(["bash", "-c", stand_in + command], check=True, env=ENVIRONMENT)
    assert (tmp_path / "clip.mp4").stat().st_size and not (tmp_path / "x").exists()
    page.get_by_label("grpcurl", exact=True).check()
    call = page.locator(".command").inner_text()
    body = subprocess.run(["bash", "-c", stand_in + "grpcurl() { cat; }; " + call], check=True, capture_output=True, text=True)
    spec = json.loads(body.stdout)["spec"]
    assert spec["prompt"] == prompt and spec["seed"] == "18446744073709551615" and len(spec["image"]["data"]) > 1000
    with tab.node.client() as client:
        made = client.list()[0]
        assert made.spec.prompt == prompt and made.spec.seed == 18446744073709551615


def test_a_file_that_is_no_picture(tab, tmp_path):
    page = tab.open()
    bad = tmp_path / "<img src=x onerror=alert(1)>.png"
    bad.write_bytes(b"not a picture")
    choose(page, "Image", bad)
    expect(page.get_by_role("alert").filter(has_text="is no PNG, JPEG or WebP")).to_be_visible()
    choose(page, "Image", PICTURES / "start.jpg")
    expect(page.get_by_text("Uploaded", exact=False).first).to_be_visible()
