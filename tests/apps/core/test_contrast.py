"""WCAG 2.2 contrast of the colour tokens that are used together, in both themes."""

import re
from pathlib import Path

import pytest

CSS = Path(__file__).parents[3] / "static" / "css"
PAIR = re.compile(r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
COLOURS = {name: (light, dark) for name, light, dark in PAIR.findall((CSS / "tokens.css").read_text())}
COLOURS |= {"on-bad": ("#fff6f5", "#fff6f5")}

GROUNDS = ("ground", "surface", "raised", "hover")
TEXT = (
    [(ink, ground) for ink in ("text", "muted") for ground in GROUNDS]
    + [(ink, ground) for ink in ("accent", "good", "busy", "warn", "bad") for ground in ("ground", "surface", "raised")]
    + [(tone, f"{tone}-ground") for tone in ("good", "busy", "warn", "bad")]
    + [("text", f"{tone}-ground") for tone in ("good", "busy", "warn", "bad")]
    + [("positive", "surface"), ("negative", "surface"), ("text", "heat")]
    + [("on-accent", "accent-fill"), ("on-bad", "bad-fill")]
)
GRAPHICS = [(f"series-{n}", "surface") for n in range(1, 8)] + [
    ("line-strong", "surface"),
    ("line-strong", "ground"),
    ("focus", "ground"),
    ("accent-fill", "hover"),
]


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_21_to_1():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT)
def test_text_stands_out(ink, ground, theme):
    assert contrast(COLOURS[ink][theme], COLOURS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), GRAPHICS)
def test_graphics_stand_out(ink, ground, theme):
    assert contrast(COLOURS[ink][theme], COLOURS[ground][theme]) >= 3


def test_no_colour_is_named_outside_the_tokens():
    for sheet in CSS.glob("*.css"):
        if sheet.name != "tokens.css":
            assert not re.findall(r"#[0-9a-f]{3,8}\b|\brgba?\(", sheet.read_text()), sheet.name


def test_every_property_that_is_used_is_declared():
    sheets = [sheet.read_text() for sheet in CSS.glob("*.css")]
    declared = {name for sheet in sheets for name in re.findall(r"--([a-z0-9-]+):", sheet)} | {"a", "chart-height"}
    used = {name for sheet in sheets for name in re.findall(r"var\(--([a-z0-9-]+)", sheet)}
    assert used <= declared
