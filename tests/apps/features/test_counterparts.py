"""The same feature in other SAEs, against NumPy on decoders written by hand."""

import json
import time

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from safetensors.numpy import save_file

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.features.counterparts.selectors import MOST_SAES, counterparts_of, expected_largest, nearest_rows
from apps.features.services import feature_label_set
from apps.saes.models import Sae
from tests.apps.features.worlds import finished_run_make, sae_make

pytestmark = pytest.mark.django_db
D, F = 4, 6


def decoder_write(sae, W_dec):
    folder = data_path("saes", sae.pk)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"W_dec": np.asarray(W_dec, np.float32)}, folder / "sae_weights.safetensors")


def random_decoder(seed, rows=F, width=D):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


@pytest.fixture
def own(db):
    sae = sae_make()
    decoder_write(sae, random_decoder(0))
    return sae


def other_make(own, W_dec=None, **changes):
    values = {"name": "Other", "layer": own.layer, "site": own.site, "d_sae": F, "encode": {}} | changes
    sae = Sae.objects.create(
        source=Sae.Source.TRAINED,
        language_model=own.language_model,
        tokenization=own.tokenization,
        architecture="topk",
        d_in=D,
        **values,
    )
    if W_dec is not None:
        decoder_write(sae, W_dec)
    return sae


def test_the_nearest_rows_are_those_of_numpy_whatever_their_lengths(own):
    W_dec = random_decoder(1) * np.array([[9], [1], [0.01], [1], [1], [0]], np.float32)
    other = other_make(own, W_dec)
    (found,) = counterparts_of(own, 2).others
    row = random_decoder(0)[2]
    cosines = W_dec @ row / np.linalg.norm(row) / np.maximum(np.linalg.norm(W_dec, axis=1), 1e-30)
    assert [each.index for each in found.rows] == np.argsort(-cosines)[:3].tolist()
    np.testing.assert_allclose([each.cosine for each in found.rows], np.sort(cosines)[::-1][:3], rtol=1e-5)
    assert found.sae == other and found.is_same_site


def test_more_rows_than_one_chunk_holds_are_all_looked_at(own, monkeypatch):
    monkeypatch.setattr("apps.features.counterparts.selectors.CHUNK_ROWS", 4)
    W_dec = random_decoder(3, rows=11)
    other = other_make(own, W_dec, d_sae=11)
    for index in range(11):
        ids, cosines = nearest_rows(other, W_dec[index] / np.linalg.norm(W_dec[index]), 1)
        assert ids.tolist() == [index] and cosines[0] == pytest.approx(1, abs=1e-6)


def test_the_same_site_comes_first_and_other_places_of_the_stream_are_marked(own):
    far = other_make(own, random_decoder(2), layer=0, name="far")
    mlp = other_make(own, random_decoder(3), site="mlp_out", name="what the MLP adds")
    same = other_make(own, random_decoder(4), name="same")
    entering = other_make(own, random_decoder(5), layer=2, site="resid_pre", name="what enters the next block")
    found = counterparts_of(own, 0)
    assert [(each.sae, each.is_same_site) for each in found.others] == [
        (entering, True),
        (same, True),
        (mlp, False),
        (far, False),
    ]
    assert [each.site for each in found.others] == ["2.resid_pre", "1.resid_post", "1.mlp_out", "0.resid_post"]


@pytest.mark.parametrize(
    "changes",
    [{"site": "attn_z"}, {"site": "mlp_in"}, {"encode": {"d_out": 12}}],
    ids=["another basis", "the input of the MLP", "another width"],
)
def test_what_has_another_basis_or_width_is_not_compared(own, changes):
    other_make(own, random_decoder(1), **changes)
    assert counterparts_of(own, 0).others == ()


def test_a_transcoder_is_compared_where_it_writes(own):
    where = {"hook_site_out": {"layer": 1, "site": "resid_post"}, "d_out": D}
    transcoder = other_make(own, random_decoder(1), site="mlp_in", layer=0, encode=where)
    (found,) = counterparts_of(own, 0).others
    assert found.sae == transcoder and found.is_same_site


def test_another_language_models_sae_is_not_compared(own):
    decoder_write(sae_make(), random_decoder(1))
    assert counterparts_of(own, 0).others == ()


def test_more_saes_than_are_read_are_counted(own):
    for number in range(MOST_SAES + 2):
        other_make(own, random_decoder(number), name=str(number))
    found = counterparts_of(own, 0)
    assert (len(found.others), found.left_out) == (MOST_SAES, 2)


def test_an_sae_whose_weights_are_gone_says_so_and_the_own_ones_are_needed(own):
    lost = other_make(own, random_decoder(1))
    data_path("saes", lost.pk, "sae_weights.safetensors").unlink()
    (found,) = counterparts_of(own, 0).others
    assert found.rows == () and "cannot be read" in found.trouble
    with pytest.raises(AppError) as gone:
        counterparts_of(lost, 0)
    assert gone.value.code == "weights_unreadable"


def test_the_largest_cosine_by_chance_is_what_random_directions_show():
    generator = np.random.default_rng(0)
    rows, width, largest = 2000, 64, []
    for _ in range(60):
        directions = generator.normal(size=(rows, width))
        largest.append((directions[:, 0] / np.linalg.norm(directions, axis=1)).max())
    assert expected_largest(rows, width) == pytest.approx(np.mean(largest), rel=0.06)
    assert expected_largest(1, width) == 0


def test_the_feature_page_asks_for_the_part_and_the_part_names_label_and_link(client_in, own):
    finished_run_make(own)
    other = other_make(own, random_decoder(0))
    finished_run_make(other)
    feature_label_set(feature=other.features.get(index=2), label="weather", category="")
    url = reverse("features:counterparts", args=[own.pk, 2])
    assert f'hx-get="{url}"' in client_in.get(reverse("features:detail", args=[own.pk, 2])).text
    part = client_in.get(url, headers={"HX-Request": "true"}).text
    assert "<h1>" not in part and "weather" in part and ">1.00<" in part and "same hook site" in part
    assert reverse("features:detail", args=[other.pk, 2]) in part
    assert "in other SAEs</h1>" in client_in.get(url).text
    assert client_in.get(reverse("features:counterparts", args=[own.pk, 99])).status_code == 404


def test_without_another_sae_the_part_says_how_to_get_one(client_in, own):
    text = client_in.get(reverse("features:counterparts", args=[own.pk, 0]), headers={"HX-Request": "true"}).text
    assert "Train a second one" in text


def test_the_endpoint_and_the_command_say_the_same(client_in, own, capsys):
    finished_run_make(own)
    other = other_make(own, random_decoder(0))
    answer = client_in.get(f"/api/v1/features/{own.features.get(index=3).pk}/counterparts").json()
    best = answer["saes"][0]["features"][0]
    assert best["index"] == 3 and best["cosine"] == pytest.approx(1, abs=1e-6) and best["id"] is None
    call_command("feature_counterparts", own.pk, 3, "--json")
    assert json.loads(capsys.readouterr().out) == answer
    call_command("feature_counterparts", own.pk, 3)
    printed = capsys.readouterr().out
    assert f"Other (SAE {other.pk}), same hook site" in printed and "3   1.00  (no feature run)" in printed
    with pytest.raises(CommandError):
        call_command("feature_counterparts", own.pk, 99)


def test_four_saes_of_16k_latents_are_compared_within_300_ms_of_one_core(own):
    width, rows = 576, 16_384
    W_dec = random_decoder(0, rows, width)
    own = other_make(own, W_dec, d_sae=rows, encode={"d_out": width}, name="wide")
    for number in range(4):
        other_make(own, W_dec[:, ::-1].copy(), d_sae=rows, encode={"d_out": width}, name=f"wide {number}")
    counterparts_of(own, 7)  # the files are in the page cache, as after any use of the SAEs
    spent = []
    for _ in range(3):
        began = time.process_time()
        assert len(counterparts_of(own, 7).others) == 4
        spent.append(time.process_time() - began)
    assert min(spent) < 0.3
