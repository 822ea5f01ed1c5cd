"""Features with their examples as JSON and CSV, by address and by command."""

import csv
import io
import json

import pytest
from django.core.management import call_command
from django.urls import reverse

from apps.core.storage import artifact_remove
from apps.features import artifacts
from apps.features.services import feature_label_set
from tests.apps.features.worlds import finished_run_make, sae_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def sent(client, **query):
    answer = client.get("/api/v1/features/examples", query)
    assert answer.status_code == 200 and answer.streaming
    return answer, b"".join(answer.streaming_content).decode()


def test_the_json_document_holds_what_the_endpoint_of_each_feature_shows(client_in, sae):
    answer, text = sent(client_in, sae=sae.pk)
    found = json.loads(text)["features"]
    assert [feature["index"] for feature in found] == [1, 2, 3, 4, 5, 0]  # the list's order: by interest
    one = client_in.get(f"/api/v1/features/{sae.features.get(index=3).pk}").json()
    assert found[2] == one
    assert answer["Content-Disposition"] == f'attachment; filename="sae-{sae.pk}-features.json"'


def test_the_table_has_a_row_for_each_example_with_tokens_and_activations_of_equal_length(client_in, sae):
    feature_label_set(feature=sae.features.get(index=5), label='wind, "breeze"', category="Weather")
    _, text = sent(client_in, sae=sae.pk, format="csv", min_max="5")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["kind"] for row in rows] == ["top", "top", "top", "interval", "interval", "silent", "near"]
    assert {row["label"] for row in rows} == {'wind, "breeze"'}
    assert rows[0]["text"] == " the the wind.." and rows[0]["peak_token"] == " wind" and rows[0]["peak_value"] == "5.0"
    for row in rows:
        assert len(json.loads(row["tokens"])) == len(json.loads(row["activations"]))


def test_a_selection_is_what_the_list_would_show(client_in, sae):
    _, text = sent(client_in, sae=sae.pk, min_density="0.0035", sort="density")
    assert [feature["index"] for feature in json.loads(text)["features"]] == [5, 4]
    page = client_in.get(reverse("features:list", args=[sae.pk]), {"min_density": "0.0035"}).text
    assert f"/api/v1/features/examples?min_density=0.0035&amp;sae={sae.pk}&amp;format=csv" in page


def test_a_table_for_spreadsheets_runs_no_formula(client_in, sae, tmp_path):
    feature_label_set(feature=sae.features.get(index=5), label="=1+1", category="")
    _, text = sent(client_in, sae=sae.pk, format="csv", min_max="5", **{"for": "spreadsheet"})
    assert text.startswith("\ufeffsae,feature") and "'=1+1" in text
    assert "'=1+1" not in sent(client_in, sae=sae.pk, format="csv", min_max="5")[1]
    call_command("feature_examples", sae=sae.pk, format="csv", spreadsheet=True, output=str(tmp_path / "x.csv"))
    assert (tmp_path / "x.csv").read_bytes().startswith(b"\xef\xbb\xbfsae")
    assert "for=spreadsheet" in client_in.get(reverse("features:list", args=[sae.pk])).text


def test_features_whose_files_are_gone_are_listed_without_examples(client_in, sae):
    artifact_remove(artifacts.run_folder(sae.feature_runs.get().pk))
    assert [f["examples"] for f in json.loads(sent(client_in, sae=sae.pk)[1])["features"]] == [[]] * 6
    assert sent(client_in, sae=sae.pk, format="csv")[1].count("\n") == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"format": "xml"}, "format"),
        ({"for": "spreadsheet"}, "for"),
        ({"for": "x"}, "for"),
        ({"sae": "x"}, "sae"),
        ({"min_max": "y"}, "min_max"),
    ],
)
def test_a_bad_question_is_named(client_in, sae, query, field):
    answer = client_in.get("/api/v1/features/examples", {"sae": sae.pk, **query})
    assert answer.status_code == 400 and answer.json()["error"]["field"] == field


async def test_an_asgi_server_gets_the_pieces_one_by_one(rf):
    from django.test import AsyncRequestFactory

    from apps.core.streaming import streamed

    answer = streamed(AsyncRequestFactory().get("/"), iter("abc"), content_type="text/plain", filename="x")
    assert answer.is_async
    assert [piece async for piece in answer.streaming_content] == [b"a", b"b", b"c"]


def test_the_command_writes_the_same_to_a_file_and_to_the_screen(sae, tmp_path, capsys):
    call_command("feature_examples", sae=sae.pk, format="csv", output=str(tmp_path / "x.csv"))
    assert "6 features are in" in capsys.readouterr().out
    call_command("feature_examples", sae=sae.pk, format="csv")
    assert capsys.readouterr().out.splitlines() == (tmp_path / "x.csv").read_text().splitlines()
