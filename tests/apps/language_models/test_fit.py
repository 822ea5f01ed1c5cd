"""The fit table: words by free memory, the recommendation, and the numbers that pages and endpoints show."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from apps.core.fit import fit_word
from apps.language_models import fit
from apps.language_models.fit import ModelShape, quantization_fits
from tests.apps.prepared import make_language_model

GIB = 2**30
SHAPE = ModelShape(
    parameters=1_000_000_000,
    linear_parameters=900_000_000,
    kv_width=4096,
    d_model=2048,
    d_mlp=8192,
    vocab_size=32_000,
    max_context=2048,
    dtype="bfloat16",
)


def machine(monkeypatch, **free: float) -> None:
    """This machine has these devices, with so many free GiB; all multiply bfloat16."""
    found = [
        SimpleNamespace(
            name=name.replace("cuda", "cuda:"), free_bytes=int(size * GIB), multiplies_bf16=True, multiplies_fp16=True
        )
        for name, size in free.items()
    ]
    monkeypatch.setattr(fit, "devices", lambda: tuple(found))


def recommended(shape: ModelShape = SHAPE) -> list[str]:
    return [line.quantization for line in quantization_fits(shape) if line.is_recommended]


@pytest.mark.parametrize(
    ("needed", "word"), [(0, "fits"), (80, "fits"), (81, "tight"), (100, "tight"), (101, "will not fit")]
)
def test_a_fifth_must_stay_free_to_fit(needed, word):
    assert fit_word(needed_bytes=needed, free_bytes=100).word == word


def test_what_is_needed_is_weights_and_context_and_working_memory(monkeypatch):
    machine(monkeypatch, cpu=16)
    (only,) = quantization_fits(SHAPE, context_length=100, batch=2)[1].devices
    assert (only.need.weights_bytes, only.need.precision) == (2 * SHAPE.parameters, "bfloat16")
    assert only.need.context_bytes == 2 * 100 * 4096 * 2
    assert only.need.total_bytes > only.need.weights_bytes + only.need.context_bytes


def test_a_device_that_emulates_16_bit_products_holds_the_weights_in_float32(monkeypatch):
    slow = SimpleNamespace(name="cpu", free_bytes=16 * GIB, multiplies_bf16=False, multiplies_fp16=False)
    monkeypatch.setattr(fit, "devices", lambda: (slow,))
    fp32, bf16, *_ = (line.devices[0].need for line in quantization_fits(SHAPE))
    assert bf16 == fp32 and bf16.weights_bytes == 4 * SHAPE.parameters


def test_smaller_quantizations_need_less(monkeypatch):
    machine(monkeypatch, cpu=16)
    totals = [line.devices[0].need.total_bytes for line in quantization_fits(SHAPE)]
    fp32, bf16, fp16, int8, nf4 = totals
    assert fp32 > bf16 == fp16 > int8 > nf4


def test_4_bits_are_not_recommended_to_a_model_that_does_not_pack(monkeypatch):
    machine(monkeypatch, cpu=1.3)
    assert recommended() == ["nf4"]
    narrow = replace(SHAPE, nf4_misfit="model.layers.0.mlp.up_proj (48 inputs, 128 outputs)")
    assert recommended(narrow) == ["int8"]  # tight
    assert [line.devices[0].verdict.word for line in quantization_fits(narrow)][-1] == "does not pack"


def test_a_context_is_no_longer_than_the_model_reads(monkeypatch):
    machine(monkeypatch, cpu=16)
    longest = quantization_fits(SHAPE, context_length=2048)[0].devices[0]
    assert quantization_fits(SHAPE, context_length=100_000)[0].devices[0].need == longest.need


def test_as_published_is_recommended_where_it_fits(monkeypatch):
    machine(monkeypatch, cpu=64)
    assert recommended() == ["bf16"]


@pytest.mark.parametrize(("free", "best"), [(4, "bf16"), (2, "int8"), (1.3, "nf4")])
def test_less_memory_recommends_fewer_bits(monkeypatch, free, best):
    machine(monkeypatch, cpu=free)
    assert recommended() == [best]


def test_what_fits_a_gpu_goes_before_what_fits_the_cpu(monkeypatch):
    machine(monkeypatch, cpu=64, cuda0=2)
    assert recommended() == ["int8"]


def test_what_is_tight_is_recommended_only_when_nothing_fits(monkeypatch):
    machine(monkeypatch, cpu=0.9)
    assert recommended() == ["nf4"]
    machine(monkeypatch, cpu=0.1)
    assert recommended() == []


@pytest.mark.django_db
def test_the_memory_endpoint_counts_for_the_context_and_batch_asked_for(client_in):
    language_model = make_language_model()
    url = f"/api/v1/models/{language_model.pk}/memory"
    small = client_in.get(f"{url}?context_length=16&batch=1").json()
    large = client_in.get(f"{url}?context_length=16&batch=4").json()
    assert small["footprint_bytes"] == 4096 and small["quantization"] == "fp32"
    assert [line["quantization"] for line in small["fits"]] == ["fp32", "bf16", "fp16", "int8", "nf4"]
    context = [answer["fits"][0]["devices"][0]["context_bytes"] for answer in (small, large)]
    assert context == [64 * 16 * 4, 4 * 64 * 16 * 4]
    assert client_in.get(f"{url}?batch=none").json()["error"]["field"] == "batch"
