"""Five hundred clips, some of them done: only those near the window exist in the page, none is missing, none keeps it waiting; filters."""

from playwright.sync_api import expect

from harness.requests import small

MANY, DONE = 500, 24
# Two frames behind the last scroll: what exists of the list, and whether any of it that is in the window is blank.
LOOK = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
    const list = document.querySelector(".grid"), tiles = [...list.children], box = list.getBoundingClientRect();
    const top = Math.min(...tiles.map((tile) => tile.getBoundingClientRect().top));
    const bottom = Math.max(...tiles.map((tile) => tile.getBoundingClientRect().bottom));
    const blank = top > Math.max(0, box.top) || bottom < Math.min(innerHeight, box.bottom);
    const names = tiles.map((tile) => tile.querySelector(".tile-name").textContent);
    const all = tiles.at(-1).ariaSetSize !== "-1" && scrollY + innerHeight >= document.documentElement.scrollHeight - 1;
    done({ names, blank, all });
})))"""


def test_many_clips(tab):
    name = lambda seed: f"Clip {seed:03}."
    with tab.node.client() as client:
        for seed in range(DONE):
            client.finished(small(seed=seed, prompt=name(seed)))
        for seed in range(DONE, MANY):
            client.create(small(seed=seed, prompt=name(seed)))
    page = tab.open("clips")
    expect(page.get_by_role("link", name=name(MANY - 1))).to_be_visible()
    seen, all_ = [], False
    while not all_:
        looked = page.evaluate(LOOK)
        all_ = looked["all"]
        assert 0 < len(looked["names"]) <= 60 and not looked["blank"], looked
        seen += [one for one in looked["names"] if one not in seen]
        page.evaluate("scrollBy(0, innerHeight * 0.8)")
    # Every one came by, from the newest to the oldest.
    assert seen == [name(seed) for seed in reversed(range(MANY))]
    expect(page.locator(f"li[aria-posinset='{MANY}'][aria-setsize='{MANY}']")).to_have_count(1)
    # Those that are done show a picture of theirs, while others are made.
    for seed in range(4):
        poster = page.locator(".tile", has=page.get_by_role("link", name=name(seed), exact=True)).locator("img")
        expect(poster).to_be_visible()
        assert poster.evaluate("(poster) => poster.decode().then(() => poster.naturalWidth)") == 64
    page.get_by_role("button", name=f"Play: {name(0)}").click()
    expect(page.locator(".tile video")).to_be_visible()
    page.get_by_label("Prompt contains").fill("clip 123")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.get_by_role("link", name="Clip 123.")).to_be_visible()
    page.get_by_label("State", exact=True).select_option(label="Failed")
    expect(page.get_by_role("heading", name="No clip matches the filter")).to_be_visible()
    page.get_by_role("button", name="Clear the filter").first.click()
    expect(page.get_by_role("link", name=name(MANY - 1))).to_be_visible()
