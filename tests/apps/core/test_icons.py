"""Icons are those of the package, attributes escaped."""

from django.template import Context, Template
from lucide.templatetags.lucide import lucide as draw


def drawn(source: str, **values) -> str:
    return Template(source).render(Context(values))


def test_an_icon_is_the_packages_own():
    assert drawn('{% lucide "star" size=16 aria_hidden="true" %}') == draw("star", size=16, aria_hidden="true")
    assert drawn('{% lucide "star" size=14 aria_hidden="true" %}') == draw("star", size=14, aria_hidden="true")


def test_what_an_attribute_says_is_escaped_and_may_differ_each_time():
    source = '{% lucide "star" aria_label=label %}'
    first, second = (drawn(source, label=label) for label in ('<b>"', "plain"))
    assert "<b>" not in first and "plain" in second and "plain" not in first
