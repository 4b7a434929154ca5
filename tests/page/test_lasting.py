"""What a person gave is neither lost nor left out in silence: pictures over a reload, a third file, files that are gone."""

import shutil

from playwright.sync_api import expect

from harness.page import END, START, drop, make
from harness.paths import PICTURES
from harness.requests import image, small, spec
from harness.waiting import eventually

# Names of what this browser keeps for the page, tab by tab.
KEPT = """() => new Promise((done) => {
    const asked = indexedDB.open("ltxd", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("files", { keyPath: "tab" });
    asked.onsuccess = () => {
        const all = asked.result.transaction("files").objectStore("files").getAll();
        all.onsuccess = () => {
            asked.result.close();
            done(all.result.map(({ files }) => Object.values(files).map(({ name }) => name)));
        };
    };
})"""


# From now on whatever is to be kept fails as it is written, as where a browser has no room.
FULL = """() => {
    const { put } = IDBObjectStore.prototype;
    window.failures = 0;
    IDBObjectStore.prototype.put = function (row) {
        const asked = put.call(this, row);
        asked.addEventListener("success", () => (window.failures++, this.transaction.abort()));
        return asked;
    };
}"""


def back(page):
    """Waits until what the browser kept of this tab is in the form again."""
    page.locator("html[data-kept]").wait_for(state="attached")


def kept(page, names):
    eventually(lambda: page.evaluate(KEPT) == names, f"the browser keeps {names}")


def test_pictures_outlive_a_reload_until_they_are_sent(tab):
    page = tab.open()
    drop(page, START, END)
    kept(page, [[START.name, END.name]])
    page.reload()
    expect(page.locator("canvas.crop")).to_have_count(2)
    expect(page.get_by_text(END.name)).to_be_visible()
    page.get_by_role("button", name="Remove: End image").click()
    kept(page, [[START.name]])
    page.get_by_label("From one image", exact=True).check()
    # Another tab has pictures of its own.
    other = tab.context.new_page()
    other.goto(page.url)
    drop(other, END)
    eventually(lambda: sorted(page.evaluate(KEPT)) == [[END.name], [START.name]], "each tab's are kept")
    other.reload()
    expect(other.get_by_text(END.name)).to_be_visible()
    page.reload()
    expect(page.get_by_text(START.name)).to_be_visible()
    make(page)
    kept(page, [[END.name]])
    page.get_by_role("link", name="Make", exact=True).click()
    expect(page.get_by_text(START.name)).to_be_visible()
    page.reload()
    back(page)
    expect(page.get_by_role("heading", name="Choose an image to begin")).to_be_visible()
    expect(page.locator("canvas.crop")).to_have_count(0)


def test_only_what_was_sent_is_forgotten(tab):
    page = tab.open()
    drop(page, START, END)
    kept(page, [[START.name, END.name]])
    page.get_by_label("From one image", exact=True).check()
    make(page)
    page.get_by_role("link", name="Make", exact=True).click()
    page.reload()
    back(page)
    page.get_by_label("Between two images", exact=True).check()
    expect(page.get_by_text(END.name)).to_be_visible()
    kept(page, [[START.name, END.name]])


def test_a_duplicated_tab_keeps_pictures_of_its_own(tab):
    page = tab.open()
    drop(page, START)
    kept(page, [[START.name]])
    # It begins with a copy of this one's storage, as one that a browser duplicates.
    with tab.context.expect_page() as opened:
        page.evaluate("() => void window.open(location.href)")
    other = opened.value
    back(other)
    expect(other.get_by_role("heading", name="Choose an image to begin")).to_be_visible()
    drop(other, END)
    eventually(lambda: sorted(page.evaluate(KEPT)) == [[END.name], [START.name]], "each tab's are kept")


def test_a_picture_that_cannot_be_kept_leaves_no_other_in_its_place(tab):
    page = tab.open()
    drop(page, START)
    kept(page, [[START.name]])
    page.evaluate(FULL)
    page.get_by_label("Replace: Image").set_input_files(END)
    kept(page, [])
    page.wait_for_function("() => window.failures")
    page.reload()
    back(page)
    expect(page.locator("canvas.crop")).to_have_count(0)


def test_a_reload_keeps_nothing_anew(tab):
    page = tab.open()
    drop(page, START)
    kept(page, [[START.name]])
    page.add_init_script("window.kept = 0; const put = IDBObjectStore.prototype.put;"
        "IDBObjectStore.prototype.put = function (row) { window.kept++; return put.call(this, row); }")
    page.reload()
    back(page)
    expect(page.get_by_text(START.name)).to_be_visible()
    # Another one is kept behind all that the reload may have wanted to keep.
    page.get_by_label("Replace: Image").set_input_files(END)
    kept(page, [[END.name]])
    assert page.evaluate("window.kept") == 1


def test_a_third_file_is_named(tab):
    page = tab.open()
    third = PICTURES / "start.jpg"
    drop(page, START, END, third)
    expect(page.locator(".slot").get_by_role("alert")).to_have_text(f"A clip takes two images at most. Left out: {third.name}.")
    expect(page.locator("canvas.crop")).to_have_count(2)
    drop(page, START, END)
    expect(page.get_by_role("alert").filter(has_text="Left out")).to_have_count(0)


def test_comparing_ends_where_files_are_gone(tab):
    with tab.node.client() as client:
        both = spec.StartEndImages(start=image(), end=image())
        made = client.finished(small(image=None, start_end_images=both))
        shutil.rmtree(tab.node.data / "outputs" / made.id)
    page = tab.open(f"clip/{made.id}")
    gone = page.locator(".beside").get_by_text("The node no longer keeps the file.")
    expect(gone).to_be_visible()
    page.get_by_label("Last frame", exact=True).check()
    expect(gone).to_be_visible()
    expect(page.get_by_text("Fetching the pictures…")).to_have_count(0)
