"""The built pages in a browser, loaded from disk as a reader without a network would."""

import re
from itertools import pairwise

import pytest
import yaml
from built import BUILT, OPEN_DETAILS, ROOT, read_toc

MAX_BYTES = 1_500_000  # of a page's own content

TYPESET = "window.MathJax && MathJax.startup.promise"
# Code in the theme's colours, and the list of references, for which docutils uses old roles.
NOT_OURS = (".highlight", ".citation-list")
# What opens fades in, and is pale for a third of a second.
FADED_IN = "Promise.allSettled(document.getAnimations().map(each => each.finished)).then(() => 0)"


@pytest.fixture(scope="module", params=BUILT or read_toc())
def visit(request, open_page):
    visit = open_page(request.param)
    visit.name = request.param
    visit.page.evaluate(TYPESET)
    yield visit
    visit.page.close()


def test_loads_without_errors_and_without_a_network(visit):
    assert visit.errors == []
    assert [url for url in visit.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_formulas_are_typeset(visit):
    page = visit.page
    assert page.locator("mjx-container").count() == page.locator(".math").count()
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0


def test_shows_one_search_control(visit):
    fields = visit.page.locator(".search-button, .search-button-field, input[type=search]")
    assert sum(field.is_visible() for field in fields.all()) == 1


def test_headings_go_down_one_level_at_a_time(visit):
    headings = visit.page.locator("main :is(h1, h2, h3, h4, h5, h6):visible")
    levels = headings.evaluate_all("nodes => nodes.map(node => Number(node.tagName[1]))")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_images_have_a_text_alternative(visit):
    for image in visit.page.locator("article img").all():
        alt = image.get_attribute("alt") or ""
        assert alt.strip() and not re.search(r"\.(png|svg|jpe?g|gif)$", alt), (
            f"{image.get_attribute('src')}: give the cell an image.alt in its mystnb metadata"
        )


@pytest.mark.parametrize(
    ("scheme", "rules"), [("light", ["wcag2a", "wcag2aa"]), ("dark", ["color-contrast"])]
)
def test_is_accessible(visit, scheme, rules):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    visit.page.emulate_media(color_scheme=scheme)
    visit.page.locator(f"html[data-theme={scheme}]").wait_for()
    visit.page.evaluate(OPEN_DETAILS)
    visit.page.evaluate(FADED_IN)
    context = {"include": [["main"]], "exclude": [[part] for part in NOT_OURS]}
    result = axe.run(visit.page, context=context, options={"runOnly": rules})
    assert result.violations_count == 0, result.generate_report()


@pytest.mark.parametrize("name", read_toc())
def test_page_is_built_and_light(html, name):
    page = html / f"{name}.html"
    assert page.exists()
    assert page.stat().st_size < MAX_BYTES


@pytest.mark.parametrize("name", read_toc())
def test_a_link_to_a_page_shows_title_and_card(html, name):
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    page, card = (html / f"{name}.html").read_text(), "book/_static/card.png"
    shown = dict(re.findall(r'<meta property="(og:[^"]*)" content="([^"]*)"', page))
    assert shown["og:title"]
    assert shown["og:image"] == f"{repository['url']}/raw/{repository['branch']}/{card}"
    assert (ROOT / card).exists()


def test_index_leads_to_the_first_page(open_page):
    page = open_page("index").page
    page.wait_for_url(f"**/{read_toc()[0]}.html")


def test_theme_button_changes_the_colours(open_page):
    page = open_page(read_toc()[0], color_scheme="light").page
    seen = set()
    for _ in range(3):
        seen.add(page.locator("html").get_attribute("data-theme"))
        page.locator(".theme-switch-button:visible").click()
    assert seen == {"light", "dark"}


def test_search_finds_a_chapter(open_page):
    page = open_page("search", "?q=window").page
    page.locator("#search-results li a").first.wait_for()
