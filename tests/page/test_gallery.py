"""Five hundred clips: only those near the window exist in the page; filters."""

from playwright.sync_api import expect

from harness.requests import small

MANY = 500


def test_many_clips(tab):
    with tab.node.client() as client:
        for seed in range(MANY):
            client.create(small(seed=seed, prompt=f"Clip {seed:03}."))
    page = tab.open("clips")
    expect(page.get_by_role("link", name=f"Clip {MANY - 1:03}.")).to_be_visible()
    most = 0
    oldest = page.get_by_role("link", name="Clip 000.", exact=True)
    while not oldest.count():
        most = max(most, page.locator(".tile").count())
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
    assert 0 < most <= 60
    assert page.locator(".tile").count() <= 60
    expect(page.locator("li[aria-posinset='500'][aria-setsize='500']")).to_have_count(1)
    page.get_by_label("Prompt contains").fill("clip 123")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.get_by_role("link", name="Clip 123.")).to_be_visible()
    page.get_by_label("State", exact=True).select_option(label="Failed")
    expect(page.get_by_role("heading", name="No clip matches the filter")).to_be_visible()
    page.get_by_role("button", name="Clear the filter").first.click()
    expect(page.get_by_role("link", name=f"Clip {MANY - 1:03}.")).to_be_visible()
