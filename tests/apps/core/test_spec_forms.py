"""One declaration of options: the form, the JSON body and the command read it alike and refuse alike."""

import argparse
import re

import pytest
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.json_bodies import fields_check
from apps.core.spec_arguments import add_spec_arguments, spec_from_arguments
from apps.core.spec_forms import form_from_json, spec_form, spec_from_json
from apps.datasets.models import Dataset, Tokenization
from apps.language_models.models import LanguageModel
from workers.engine.specs.activations import ActivationCacheSpec
from workers.engine.specs.datasets import DatasetImportSpec
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.kinds import SPECS
from workers.engine.specs.steering import SteeredFeature, SteerSpec
from workers.engine.specs.tokenization import TokenizeSpec
from workers.engine.specs.training import TrainSpec

ALL_SPECS = [pytest.param(spec, id=kind) for kind, spec in SPECS.items()]


def page_words(spec_class, values):
    """What the page says about bad values: {field: words}."""
    query = QueryDict(mutable=True)
    query.update({name: str(value) for name, value in values.items()})
    form = spec_form(spec_class)(query)
    assert not form.is_valid()
    return {name: " ".join(errors) for name, errors in form.errors.items()}


def json_refusal(spec_class, body):
    with pytest.raises(AppError) as refused:
        spec_from_json(spec_class, body)
    assert refused.value.code == "spec_invalid"
    return refused.value


def command_refusal(spec_class, values):
    parser = argparse.ArgumentParser()
    add_spec_arguments(parser, spec_class)
    words = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    with pytest.raises(AppError) as refused:
        spec_from_arguments(spec_class, vars(parser.parse_args(words)))
    return refused.value


BAD = [
    (DatasetImportSpec, {"repo_id": "a/b", "row_cap": 0}, "row_cap"),
    (DatasetImportSpec, {"repo_id": "a/b", "row_cap": "many"}, "row_cap"),
    (DatasetImportSpec, {"repo_id": "a/b", "source": "moon"}, "source"),
    (DatasetImportSpec, {"source": "hub"}, "repo_id"),
    (DatasetImportSpec, {"source": "file"}, "path"),
    (DatasetImportSpec, {"repo_id": "x" * 201}, "repo_id"),
    (TrainSpec, {"activation_cache": 99}, "activation_cache"),
    (TrainSpec, {}, "activation_cache"),
    (TrainSpec, {"source": "text"}, "hook_sites"),
    (TrainSpec, {"source": "text", "hook_sites": "3.resid_post, 3 resid"}, "hook_sites"),
    (TrainSpec, {"sweep_d_sae": "64, 1"}, "sweep_d_sae"),
    (TrainSpec, {"sweep_k": "16, many"}, "sweep_k"),
    (TrainSpec, {"sweep_seeds": f"0, {2**31}"}, "sweep_seeds"),
    (TrainSpec, {"source": "text", "more_tokenizations": "99"}, "more_tokenizations"),
    (TrainSpec, {"source": "text", "more_tokenizations": "first"}, "more_tokenizations"),
    (TrainSpec, {"source": "text", "more_tokenizations": str(10**30)}, "more_tokenizations"),
    (SteerSpec, {"features": "12"}, "features"),
    (SteerSpec, {"features": "12:hot"}, "features"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("spec_class", "values", "field"), BAD)
def test_page_json_and_command_refuse_the_same_input_with_the_same_words(spec_class, values, field):
    words = page_words(spec_class, values)[field]
    from_json, from_command = json_refusal(spec_class, values), command_refusal(spec_class, values)
    assert words in from_json.message
    assert from_json.message == from_command.message
    label = spec_class.options()[field].label
    assert f"{label}: {words}" in from_json.message


@pytest.mark.parametrize("spec_class", ALL_SPECS)
def test_ranges_choices_help_units_and_defaults_of_a_form_are_those_of_the_spec(spec_class):
    fields = spec_form(spec_class).base_fields
    assert list(fields) == list(spec_class.options())
    for name, option in spec_class.options().items():
        field = fields[name]
        validators = getattr(field, "each", field).validators
        least = [v.limit_value for v in validators if isinstance(v, MinValueValidator)]
        most = [v.limit_value for v in validators if isinstance(v, MaxValueValidator)]
        assert least == ([] if option.minimum is None else [option.minimum])
        assert most == ([] if option.maximum is None else [option.maximum])
        assert (field.help_text, field.unit, field.only_for) == (option.help, option.unit, option.only_for)
        assert field.is_needed == option.is_needed
        if option.choices:
            assert tuple(field.choices) == option.choices


@pytest.mark.parametrize("spec_class", ALL_SPECS)
def test_every_option_stands_in_one_of_the_two_fieldsets(spec_class):
    form = spec_form(spec_class)()
    names = [field.name for field in (*form.basic_fields, *form.advanced_fields)]
    assert sorted(names) == sorted(spec_class.options())


@pytest.mark.parametrize("spec_class", ALL_SPECS)
def test_every_option_is_an_argument_with_help(spec_class):
    parser = argparse.ArgumentParser()
    add_spec_arguments(parser, spec_class)
    words = parser.format_help()
    for name in spec_class.options():
        assert f"--{name.replace('_', '-')} " in words


@pytest.mark.django_db
def test_what_is_left_out_takes_the_default_and_an_emptied_optional_means_none():
    assert spec_from_json(DatasetImportSpec, {"repo_id": "a/b"}) == DatasetImportSpec(repo_id="a/b")
    assert spec_from_json(DatasetImportSpec, {"repo_id": "a/b", "row_cap": None}).row_cap is None
    form = spec_form(DatasetImportSpec)(QueryDict("repo_id=a/b&streaming=on&row_cap="))
    assert form.is_valid()
    assert form.spec() == DatasetImportSpec(repo_id="a/b", row_cap=None)


@pytest.mark.django_db
def test_an_option_without_meaning_for_the_choice_takes_its_default_whatever_was_sent():
    spec = spec_from_json(DatasetImportSpec, {"source": "file", "path": "/data/a.txt", "split": "x" * 999})
    assert spec == DatasetImportSpec(source="file", path="/data/a.txt")


@pytest.mark.django_db
def test_an_unknown_option_is_refused_with_the_known_ones_in_the_hint():
    error = json_refusal(TrainSpec, {"learning_rat": 1})
    assert error.field == "learning_rat"
    assert "learning_rate" in error.hint


@pytest.mark.django_db
@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_a_body_that_is_no_object_is_refused(body):
    assert "not a JSON object" in json_refusal(TrainSpec, body).message


@pytest.mark.django_db
@pytest.mark.parametrize("value", [{"a": 1}, [1], True])
def test_a_value_of_the_wrong_shape_is_refused_at_its_option(value):
    assert json_refusal(DatasetImportSpec, {"repo_id": value}).field == "repo_id"


@pytest.mark.django_db
def test_not_a_number_is_refused():
    error = json_refusal(TrainSpec, {"learning_rate": float("nan")})
    assert "Learning rate" in error.message


@pytest.mark.django_db
def test_only_rows_that_are_ready_can_be_chosen():
    ready = {"ready_at": timezone.now()}
    model = LanguageModel.objects.create(name="m", source="hub", origin="o", **ready)
    unready = Dataset.objects.create(name="d", source="hub", origin="o")
    assert json_refusal(TokenizeSpec, {"dataset": unready.pk, "language_model": model.pk}).field == "dataset"
    dataset = Dataset.objects.create(name="d", source="hub", origin="o", **ready)
    spec = spec_from_json(TokenizeSpec, {"dataset": dataset.pk, "language_model": model.pk})
    assert spec == TokenizeSpec(dataset=dataset.pk, language_model=model.pk)


@pytest.mark.django_db
def test_steered_features_read_as_text_and_as_json_are_the_same():
    field = spec_form(SteerSpec).base_fields["features"]
    wanted = (SteeredFeature(index=12, strength=4.0), SteeredFeature(index=77, strength=-2.5))
    assert field.clean("12:4, 77:-2.5") == wanted
    assert field.clean([{"index": 12, "strength": 4}, {"index": 77, "strength": -2.5}]) == wanted
    assert field.prepare_value(wanted) == "12:4, 77:-2.5"


@pytest.fixture
def tokenizations(db):
    """The ids of three tokenizations that are ready, newest first, and that of one that is not."""
    model = LanguageModel.objects.create(name="m", source="hub", origin="o", ready_at=timezone.now())
    dataset = Dataset.objects.create(name="d", source="hub", origin="o", ready_at=timezone.now())
    made = [
        Tokenization.objects.create(
            dataset=dataset, language_model=model, context_length=8, ready_at=None if is_late else timezone.now()
        ).pk
        for is_late in (False, False, False, True)
    ]
    return made[2::-1], made[3]


def test_several_rows_keep_the_order_in_which_they_were_sent(tokenizations):
    (newest, middle, oldest), unready = tokenizations
    field = spec_form(TrainSpec).base_fields["more_tokenizations"]
    for sent in ([middle, oldest], [str(middle), str(oldest)], f"{middle}, {oldest}", [f"{middle},{oldest}", middle]):
        assert field.clean(sent) == (middle, oldest)
    assert field.clean([]) == field.clean("") == field.clean(None) == ()
    with pytest.raises(ValidationError, match=f"nothing ready with the id {unready}"):
        field.clean([newest, unready])


def test_several_rows_are_checkboxes_in_a_group_that_is_named(tokenizations):
    (newest, _middle, oldest), unready = tokenizations
    form = spec_form(TrainSpec)(initial={"more_tokenizations": f"{oldest},{newest}"})
    html = render_to_string("components/field.html", {"field": form["more_tokenizations"]})
    assert re.search(r"<fieldset[^>]*>\s*<legend>More tokenizations", html)
    assert 'aria-describedby="id_more_tokenizations_helptext"' in html
    assert 'id="id_more_tokenizations_helptext"' in html
    assert re.findall(r'value="(\d+)"[^>]*checked', html) == [str(newest), str(oldest)]
    assert f'value="{unready}"' not in html


def test_rows_that_are_ticked_on_a_page_reach_the_spec(tokenizations):
    (newest, middle, oldest), _ = tokenizations
    model = LanguageModel.objects.get().pk
    sent = (
        f"tokenization={newest}&more_tokenizations={oldest}&more_tokenizations={middle}&language_model={model}&layer=1"
    )
    form = spec_form(ActivationCacheSpec)(QueryDict(sent))
    assert form.is_valid()
    assert form.spec().more_tokenizations == (oldest, middle)


def test_several_values_read_as_text_and_as_json_are_the_same():
    fields = spec_form(TrainSpec).base_fields
    assert fields["sweep_k"].clean("16, 32,") == fields["sweep_k"].clean([16, 32]) == (16, 32)
    assert fields["sweep_coefficient"].clean("0.5, 2") == (0.5, 2.0)
    assert fields["hook_sites"].clean("3.resid_post, 1.mlp_in") == ("3.resid_post", "1.mlp_in")
    assert fields["sweep_k"].clean("") == fields["sweep_k"].clean([]) == ()
    assert fields["sweep_coefficient"].prepare_value((0.5, 2.0)) == "0.5, 2"


def test_a_refused_value_among_several_is_named():
    with pytest.raises(ValidationError) as refused:
        spec_form(TrainSpec).base_fields["sweep_d_sae"].clean("64, 1")
    assert refused.value.messages == ["1: The least allowed is 2."]


@pytest.mark.django_db
@pytest.mark.parametrize("value", [{"a": 1}, True])
@pytest.mark.parametrize("name", ["sweep_k", "more_tokenizations"])
def test_what_is_no_list_is_refused_where_several_are_asked_for(name, value):
    assert "This is not a list." in json_refusal(TrainSpec, {name: value}).message


@pytest.mark.django_db
def test_an_option_whose_reason_is_idle_itself_takes_its_default():
    sent = {"architecture": "topk", "l0_loss": "quadratic", "target_l0": -5, "activation_cache": 99}
    assert json_refusal(TrainSpec, sent).field == "activation_cache"
    assert "Target L0" not in json_refusal(TrainSpec, sent).message


@pytest.mark.django_db
def test_options_that_are_decided_already_are_neither_asked_for_nor_read():
    form = form_from_json(TrainSpec, {"activation_cache": 5, "k": 7}, decided={"activation_cache": 1})
    assert (form.spec().activation_cache, form.spec().k) == (1, 7)
    assert "activation_cache" not in {field.name for field in (*form.basic_fields, *form.advanced_fields)}


def test_an_argument_that_takes_several_says_so():
    parser = argparse.ArgumentParser()
    add_spec_arguments(parser, TrainSpec)
    words = parser.format_help()
    assert "--sweep-k VALUE,…" in words
    assert "Default: ()" not in words and ".0." not in words


def test_a_prompt_keeps_its_spaces_and_loses_only_the_carriage_returns_of_browsers():
    field = spec_form(SteerSpec).base_fields["prompt"]
    assert field.clean("One\r\ntwo ") == "One\ntwo "


def test_whole_numbers_are_shown_without_a_fraction():
    assert 'value="5"' in str(spec_form(TokenizeSpec)()["heldout_pct"])


@pytest.mark.django_db
def test_the_only_ready_row_is_preselected_and_one_of_several_is_not():
    first = Dataset.objects.create(name="a", source="file", origin="a", ready_at=timezone.now())
    alone, among_two = spec_form(TokenizeSpec)(), spec_form(TokenizeSpec)()
    alone.rows_preselect()
    assert alone["dataset"].value() == first.pk
    Dataset.objects.create(name="b", source="file", origin="b", ready_at=timezone.now())
    among_two.rows_preselect()
    assert among_two["dataset"].value() is None


@pytest.mark.parametrize(("kind", "value", "words"), [
    (str, 3, "must be a text"), (int, True, "must be a whole number"), (bool, "yes", "must be true or false"),
    (list, "3", "must be a list"), (dict, [], "must be an object"),
])  # fmt: skip
def test_a_field_of_a_wrong_type_is_refused_in_words(kind, value, words):
    with pytest.raises(AppError, match=words):
        fields_check({"field": value}, {"field": kind})


def test_a_spec_says_types_in_words():
    with pytest.raises(SpecInvalid, match="'many' is not a whole number"):
        TrainSpec(activation_cache=1, k="many")


def test_a_record_as_text_keeps_large_numbers():
    features = (SteeredFeature(index=1_234_567, strength=0.5),)
    field = spec_form(SteerSpec).base_fields["features"]
    assert field.clean(field.prepare_value(features)) == features
