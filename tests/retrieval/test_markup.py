"""What of a web page is content and what frames it."""

from __future__ import annotations

import pytest

from retrieval.markup import read_html


def _text(body: str) -> str:
    return read_html(f"<html><body>{body}</body></html>")[0]


@pytest.mark.parametrize(
    "chapter",
    [
        '<main><h1>Privacy</h1><section id="cookies"><h2>Cookies</h2><p>Kept 30 days.</p></section></main>',
        '<article><div id="cookie-policy"><p>Kept 30 days.</p></div></article>',
        '<h1>Privacy</h1><section id="cookies"><h2>Cookies</h2><p>Kept 30 days.</p></section>',
        '<h1>Privacy</h1><div class="section" id="cookie-consent"><h2>Cookie consent</h2><p>Kept 30 days.</p></div>',
        '<h1>Privacy</h1><h2 id="consent">Consent: Kept 30 days.</h2>',
        '<main><h1>Privacy</h1><aside class="note"><p>Kept 30 days.</p></aside></main>',
    ],
)
def test_what_a_page_says_about_cookies_is_no_banner(chapter: str) -> None:
    assert "Kept 30 days." in _text(chapter)


@pytest.mark.parametrize(
    "banner",
    [
        '<div class="cookie-banner"><h2>Cookies</h2><p>Accept all.</p></div>',
        '<section class="consent"><h2>Consent</h2><p>Accept all.</p></section>',
        '<div id="onetrust-consent-sdk"><p>Accept all.</p></div>',
        "<aside><p>Accept all.</p></aside>",
        '<form action="/search"><label>Accept all.</label><input name="q"></form>',
    ],
)
def test_what_frames_the_page_goes(banner: str) -> None:
    text = _text(f"{banner}<main><h1>Leave</h1><p>Everyone has 30 days.</p></main>{banner}")
    assert "30 days" in text
    assert "Accept" not in _text(f"{banner}<h1>Leave</h1><p>Everyone has 30 days of leave per year.</p>")
    assert "Accept" not in text


def test_signposts_go_inside_the_content_too() -> None:
    edit = '<span class="mw-editsection">[edit]</span>'
    page = f'<main><h1>Leave {edit}</h1><p>30 days.</p><h2 id="breadcrumbs">Bread</h2></main>'
    assert _text(page) == "# Leave\n\n30 days.\n\n## Bread\n"


def test_a_form_around_the_whole_page_loses_its_fields_alone() -> None:
    fields = '<input value="x"><select><option>Choose</option></select><textarea>Type</textarea><button>Send</button>'
    page = f'<form id="aspnetForm"><nav>Menu</nav><h1>Travel policy</h1><p>Hotels up to 120 euros.</p>{fields}</form>'
    assert _text(page) == "# Travel policy\n\nHotels up to 120 euros.\n"
    assert _text(f"<form><p>Hotels up to 120 euros.</p>{fields}</form>") == "Hotels up to 120 euros.\n"
