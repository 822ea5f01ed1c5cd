"""Tokens of a text in Chinese and added tokens that look like spelled bytes, on every surface that shows tokens.

No token of the world carries a mark by which a vocabulary could be told; the stored spelling alone says how to read them.
"""

import csv
import io
import json
import re

import pytest
from django.core.management import call_command
from django.urls import reverse

from apps.core.storage import data_path
from apps.features import artifacts
from tests.apps.features import worlds
from tests.apps.features.ablation_worlds import ablate_result_make, ablation_make, context_make
from tests.apps.prepared import vocabulary_write
from tests.apps.steering.worlds import finished_experiment_make, result_make
from workers.engine.specs.feature_language import FeatureLanguage
from workers.engine.specs.try_text import TokenFeatures, TriedFeature, TriedText, TryTextResult
from workers.engine.text.spelling import Spelling, TokenScheme

pytestmark = pytest.mark.django_db
BEI, ZHONG, WEN, RI = "åĮĹ", "ä¸Ń", "æĸĩ", "æĹ¥"
VOCABULARY = ["<|end|>", RI, "Öl", "đem", "Ċ", BEI, ZHONG, WEN]
SPELLING = Spelling(TokenScheme.BYTE_LEVEL, frozenset({"<|end|>", "Öl", "đem"}))
GARBLED = (BEI, ZHONG, WEN, RI, "\ufffd", "\x11", "␑")
SHOWN = {1: "中中日文文", 2: "中中Öl文文", 3: "中中đem文文", 5: "中中北文文"}
"""Latent → the text of its strongest example."""


@pytest.fixture
def sae(db, fresh_data_dir, monkeypatch):
    monkeypatch.setattr(worlds, "VOCABULARY", VOCABULARY)
    monkeypatch.setattr(worlds, "SPELLING", SPELLING)
    sae = worlds.sae_make()
    worlds.finished_run_make(sae)
    return sae


def clean(text: str) -> str:
    """A page's text, nothing garbled in what it shows; a token's raw spelling stands in tips alone."""
    bare = re.sub(r" \([\d.]+\) ", "", "".join(part.split(">", 1)[-1] for part in text.split("<")))
    assert not [mark for mark in GARBLED if mark in bare]
    return bare


def test_the_table_of_examples_and_their_json(client_in, sae):
    answer = client_in.get("/api/v1/features/examples", {"sae": sae.pk, "format": "csv"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert {int(row["feature"]): row["text"] for row in rows if row["kind"] == "top" and row["context"] == "0"} == {
        **SHOWN,
        4: "中中\n文文",
    }
    assert {row["peak_token"] for row in rows if row["feature"] == "3"} == {"đem"}
    answer = client_in.get("/api/v1/features/examples", {"sae": sae.pk})
    found = json.loads(b"".join(answer.streaming_content))["features"]
    (second,) = (feature for feature in found if feature["index"] == 2)
    assert second["examples"][0]["examples"][0]["texts"] == ["中", "中", "Öl", "文", "文"]


def test_the_list_the_peek_and_the_page(client_in, sae):
    assert "北" in clean(client_in.get(reverse("features:list", args=[sae.pk])).text)
    for index, shown in SHOWN.items():
        peek = client_in.get(reverse("features:peek", args=[sae.pk, index]), headers={"HX-Request": "true"})
        assert shown in clean(peek.text)
        assert shown in clean(client_in.get(sae.features.get(index=index).get_absolute_url()).text)


def test_the_words_of_rows_and_the_logit_lists(sae):
    names = {feature.index: feature.auto_name for feature in sae.features.all()}
    assert (names[1], names[2], names[3]) == ("日 (100 %)", "Öl (100 %)", "đem (100 %)")
    lists = artifacts.logits_read(sae.features.get(index=1).run_id, 1)
    assert [token.text for token in lists.promoted] == ["北", "đem"]


def test_a_text_that_was_tried(client_in, sae):
    tokens, silent = ("<|end|>", ZHONG, "đem", "ä¸", "Ń"), TokenFeatures(indices=(), values=())
    fires = TokenFeatures(indices=(5,), values=(4.0,))
    read = TriedText(tokens=tokens, is_included=(False, *[True] * 4), strongest=(*[silent] * 4, fires), firing=1)
    features = (TriedFeature(index=5, values=((0.0, 0.0, 4.0, 0.0, 0.0),)),)
    tried = worlds.tried_make(sae, is_ready=True)
    tried.report = TryTextResult(texts=(read,), features=features, seconds=0.1).to_json()
    tried.save()
    text = clean(client_in.get(tried.get_absolute_url()).text)
    assert "中đem" in text


def test_an_ablation(client_in, sae):
    shown = (context_make(0).__class__(**vars(context_make(0)) | {"tokens": ("<|end|>", ZHONG, "Öl", BEI, WEN)}),)
    ablation = ablation_make(sae, is_ready=True)
    ablation.report = ablate_result_make().to_json() | {"shown": [each.to_json() for each in shown]}
    ablation.save()
    page = client_in.get(sae.features.get(index=5).get_absolute_url())
    assert "Öl" in clean(page.text) and "北" in clean(page.text)


def test_the_language_of_a_feature(client_in, sae):
    found = worlds.language_found("wind").to_json() | {"tokens": [[BEI, 9], ["đem", 1]]}
    analysis = worlds.language_make(sae, 5)
    worlds.language_finish(analysis)
    analysis.refresh_from_db()
    analysis.report |= {"analysis": FeatureLanguage.from_json(found).to_json()}
    analysis.save()
    page = client_in.get(sae.features.get(index=5).get_absolute_url(), {"panel": "language"})
    assert ">北<" in page.text and ">đem<" in page.text


def test_the_comparison_of_steered_texts(client_in, sae):
    experiment = finished_experiment_make(sae, result=result_make((ZHONG, "Öl", "ä¸", "Ń"), "中Öl中"))
    assert "中Öl中" in clean(client_in.get(experiment.get_absolute_url()).text)


def test_commands(sae, capsys):
    call_command("feature_show", str(sae.pk), "3")
    assert SHOWN[3] in clean(capsys.readouterr().out)
    call_command("feature_examples", "--sae", str(sae.pk), "--format", "csv")
    assert SHOWN[2] in capsys.readouterr().out


def test_a_vocabulary_of_an_older_version_is_named_and_read_by_nobody(client_in, sae):
    run = sae.features.get(index=1).run_id
    vocabulary_write(data_path("features", run), VOCABULARY, None)
    page = client_in.get(sae.features.get(index=1).get_absolute_url())
    assert "stored by another version of the studio" in page.text and "Rebuild vocabulary" in page.text
