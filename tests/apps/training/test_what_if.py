"""What if: the bars add up, follow the settings, and name the largest dictionary."""

from types import SimpleNamespace

import pytest
from django.http import QueryDict
from django.urls import reverse

from apps.training import what_if as module
from apps.training.estimates import lm_bytes
from apps.training.what_if import what_if
from tests.apps.prepared import make_language_model
from workers.engine.specs.training import TrainSpec
from workers.engine.specs.training_memory import training_memory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


CPU = SimpleNamespace(
    name="cpu", free_bytes=10_000_000, total_bytes=20_000_000, multiplies_bf16=False, multiplies_fp16=False
)


@pytest.fixture
def small_cpu(monkeypatch):
    """One device with 10 MB free."""
    monkeypatch.setattr(module, "devices", lambda: (CPU,))


def device_of(query: str):
    (device,) = what_if(QueryDict(query))["devices"]
    return device


def test_segments_fill_the_bar_and_add_up_to_what_is_needed(small_cpu):
    device = device_of(f"language_model={make_language_model().pk}&batch_size=64&d_sae=64")
    for bar in device.bars:
        *needs, free = bar.segments
        assert sum(part.bytes for part in needs) == bar.needed_bytes
        assert free.bytes == device.free_bytes - bar.needed_bytes
        assert sum(part.share for part in bar.segments) == pytest.approx(1.0)


def test_the_training_bar_is_the_estimate_of_the_training_form(small_cpu):
    language_model = make_language_model()
    device = device_of(f"language_model={language_model.pk}&batch_size=64&d_sae=128&context_length=32")
    spec = TrainSpec(activation_cache=1, d_sae=128, batch_size=64)
    lm = lm_bytes(language_model, CPU, context_length=32, batch=spec.ce_contexts)
    assert device.bars[1].needed_bytes == training_memory(spec, [(32, 32)]).total_bytes + lm
    assert [part.label for part in device.bars[1].segments][2] == "model, for CE at checkpoints"


def test_the_largest_dictionary_fits_and_one_more_does_not(small_cpu):
    query = f"language_model={make_language_model().pk}&batch_size=64"
    largest = device_of(query).largest_d_sae
    assert device_of(f"{query}&d_sae={largest}").bars[1].verdict.word == "tight"
    assert device_of(f"{query}&d_sae={largest + 1}").bars[1].verdict.word == "will not fit"


@pytest.mark.parametrize("change", ["context_length=64", "batch_contexts=64"])
def test_more_text_at_once_needs_more_for_the_forward_pass_alone(small_cpu, change):
    query = f"language_model={make_language_model().pk}&context_length=16&batch_contexts=2"
    before, after = device_of(query), device_of(f"{query}&{change}")
    assert after.bars[0].segments[1].bytes > before.bars[0].segments[1].bytes
    assert after.bars[0].segments[0] == before.bars[0].segments[0] or after.bars[0].limit < 1
    trained = [[part.bytes for part in device.bars[1].segments[:2]] for device in (before, after)]
    assert trained[0] == trained[1]


def test_a_quantized_model_needs_less_for_its_weights(small_cpu):
    language_model = make_language_model()
    before = device_of(f"language_model={language_model.pk}").bars[0].segments[0].bytes
    type(language_model).objects.update(quantization="nf4")
    assert device_of(f"language_model={language_model.pk}").bars[0].segments[0].bytes < before


def test_the_page_works_without_scripts_and_the_part_is_what_htmx_gets(client_in):
    url = f"{reverse('training:what-if')}?language_model={make_language_model().pk}"
    page = client_in.get(url).content.decode()
    assert "<h1>" in page and "Largest d_sae that can be trained here" in page and 'name="d_sae" value="256"' in page
    part = client_in.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<h1>" not in part and 'id="what-if-bars"' in part


def test_settings_that_cannot_be_are_marked(client_in):
    url = f"{reverse('training:what-if')}?language_model={make_language_model().pk}"
    assert "no layer 99" in client_in.get(f"{url}&layer=99").content.decode()
    assert "no hook site attn_z" in client_in.get(f"{url}&site=attn_z").content.decode()
    assert "The least allowed is 2" in client_in.get(f"{url}&d_sae=1").content.decode()


def test_a_model_that_is_not_there_is_said_to_be_missing(client_in):
    assert client_in.get(f"{reverse('training:what-if')}?language_model=999999").status_code == 404
