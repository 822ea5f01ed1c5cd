"""Numbers for people, the page's topics, the token strip."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, RequestContext, Template
from django.test import RequestFactory

from apps.core.templatetags.studio import bytes_words, compact, duration, significant, spark_points
from apps.core.templatetags.tokens import Strip, spans
from tests.apps.prepared import BYTE_LEVEL
from workers.engine.text.spelling import Spelling, TokenScheme


def shown(source: str, **values) -> str:
    return Template(source).render(Context(values))


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (9_999, "9,999"), (34_500, "34.5k"), (1_234_567, "1.23M"), (0.012345, "0.0123"), (-2_000_000, "-2M")],
)
def test_numbers_keep_three_significant_digits(value, words):
    assert compact(value) == words


def test_the_exact_number_stays_readable():
    html = shown("{{ n|number }}", n=1_234_567)
    assert 'title="1,234,567"' in html and ">1.23M<" in html
    assert shown("{{ n|number }}{{ n|percent }}{{ n|bytes }}{{ n|duration }}{{ n|local_time }}", n=None) == "–" * 5


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**30, "5 GiB"), (2**42, "4 TiB")]
)
def test_bytes_are_binary_units(size, words):
    assert bytes_words(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0.4 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (timedelta(days=4, hours=3), "4 d 3 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds, words):
    assert duration(seconds) == words


def test_small_and_large_numbers_stay_short():
    assert [significant(v) for v in (1e-7, 999.9, 123456.0)] == ["1e-7", "1,000", "123,456"]


def test_times_carry_their_moment_for_the_browser():
    html = shown("{{ at|local_time }}", at=datetime(2026, 2, 3, 4, 5, tzinfo=UTC))
    assert html == '<time datetime="2026-02-03T04:05:00+00:00" data-style="full">2026-02-03 04:05 UTC</time>'


def test_a_page_gets_one_socket_for_all_its_topics():
    request = RequestFactory().get("/")
    request.user, request.htmx = AnonymousUser(), False
    source = "{% live a %}{% live many b %}{% live_socket %}"
    html = Template(source).render(
        RequestContext(request, {"a": "jobs/1", "many": ["saes/2", "jobs/1"], "b": "saes/3"})
    )
    assert html.count("ws-connect") == 1
    assert "/ws/live/?topic=jobs%2Fall&amp;topic=jobs%2F1&amp;topic=saes%2F2&amp;topic=saes%2F3" in html


def test_a_fragment_marks_its_topics_for_the_browser():
    assert (
        shown("{% live a %}{% live none %}", a=["jobs/1", "saes/2"])
        == '<i hidden data-live-topics="jobs/1 saes/2"></i>'
    )


def test_a_spark_line_fills_its_box():
    assert spark_points([1.0, 3.0, 2.0]) == "0.0,22.0 50.0,2.0 100.0,12.0"


WORDPIECE = Spelling(TokenScheme.WORDPIECE)
TOKENS = ["Ġthe", "Ġ<b>", "Ġcat", "Ġsat", "Ċ", "ĠÃ", "©"]


def test_token_texts_are_escaped_everywhere():
    values, source = [0, 5, 0, 0, 0, 0, 0], "{% load tokens %}{% token_strip tokens spelling values peak=1 %}"
    html = shown(source, tokens=TOKENS, spelling=BYTE_LEVEL, values=values)
    assert "<b>" not in html and html.count("&lt;b&gt;") == 3, "text and tip, once as text and once raw"


def test_silent_neighbours_share_one_span_and_lose_no_text():
    made = spans(Strip.of_tokens(TOKENS, BYTE_LEVEL, [0, 5, 0, 0, 0, 2.5, 0]))
    assert [span.text for span in made] == [" the", "·<b>", " cat sat", "↵", "·é"]
    assert [span.share for span in made] == ["", "1.000", "", "", "0.500"]


def test_shares_follow_the_given_scale_and_weak_ones_stay_visible():
    made = spans(Strip.of_tokens(["a", "b", "c"], BYTE_LEVEL, [1.0, 0.001, 50.0]), scale=10.0)
    assert [span.share for span in made] == ["0.100", "0.050", "1.000"]


def test_a_word_has_the_maximum_of_its_tokens_and_the_peaks_word_is_outlined():
    tokens, values = ["Ġun", "real", "istic", "Ġcats"], [0, 1.0, 4.0, 2.0]
    made = spans(Strip.of_words(tokens, BYTE_LEVEL, values, peak=1), scale=4.0)
    assert [(span.text, span.value, span.share, span.is_peak) for span in made] == [
        ("·unrealistic", 4.0, "1.000", True),
        ("·cats", 2.0, "0.500", False),
    ]
    assert "tokens Ġun real istic" in made[0].tip and made[1].tip.endswith("token Ġcats")


def test_the_scheme_decides_what_a_word_is_where_a_window_shows_no_mark():
    assert [span.text for span in spans(Strip.of_words(["un", "real"], WORDPIECE, None))] == ["un", "·real"]
    html = shown(
        "{% load tokens %}{% token_strip tokens spelling values by_words=True peak=0 %}",
        spelling=BYTE_LEVEL,
        tokens=["æĹ", "¥", "Ã©", "s"],
        values=[0, 3, 0, 1],
    )
    assert '<span class="token peak" style="--a:1.000"' in html and ">日" in html and ">és" in html


def test_values_are_text_for_those_who_see_no_colour():
    source = "{% load tokens %}{% token_strip tokens spelling values %}"
    html = shown(source, spelling=BYTE_LEVEL, tokens=["a", "b"], values=[0.0, 1.25])
    assert '<span class="visually-hidden"> (1.25) </span>' in html
