"""What presets store and refuse, and how files and old schemas are read."""

import pytest
from django.apps import apps as django_apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from apps.core.errors import AppError
from apps.presets import services
from apps.presets.documents import FORMAT, VERSION, documents_read, preset_document
from apps.presets.kinds import KINDS
from apps.presets.models import Preset
from apps.presets.selectors import jobs_agreeing, preset_asked, preset_options
from apps.presets.shipped import SHIPPED, shipped_after_migration, shipped_update
from tests.apps.presets.worlds import PROMPT, WIDE, make_preset, make_training_job
from workers.engine.specs.training import TrainSpec

pytestmark = pytest.mark.django_db


def refusal(call, **values) -> AppError:
    with pytest.raises(AppError) as refused:
        call(**values)
    return refused.value


GOOD = [
    ("training", WIDE),
    ("training", {}),
    ("training", {"l1_coefficient": 5.0}),
    ("training", {"target_l0": 20.0}),
    ("training", {"architecture": "standard", "resample_every": 100, "lr_decay_pct": 10.0}),
    ("training", {"architecture": "matryoshka", "d_sae": 64, "k": 4, "matryoshka_widths": [8, 16], "sweep_k": [2, 4]}),
    ("extraction", {"top_examples": 7, "quantile_groups": 3}),
    ("labeling", {**PROMPT, "system_message": "You name\nfeatures. "}),
    ("steering", {"prompt": "Once upon", "unit": "raw", "temperature": 0.0}),
]


@pytest.mark.parametrize(("kind", "options"), GOOD)
def test_a_preset_stores_what_it_decides_and_nothing_else(kind, options):
    assert make_preset(kind=kind, options=options).spec == options


BAD = [
    ("training", {"k": 0}, "k"),
    ("training", {"k": 64, "d_sae": 32}, "k"),
    ("training", {"activation_cache": 1}, "activation_cache"),
    ("training", {"unheard": 1}, "unheard"),
    ("training", {"architecture": "dense"}, "architecture"),
    ("training", {"sweep_k": True}, "sweep_k"),
    ("extraction", {"sae": 3}, "sae"),
    ("labeling", {"user_prompt": "What is this?"}, "user_prompt"),
    ("labeling", {"user_prompt": "{examples_block} {moon}"}, "user_prompt"),
    ("labeling", {}, "user_prompt"),
    ("steering", {"temperature": 0.5}, "prompt"),
    ("steering", {"prompt": "x", "features": []}, "features"),
]


@pytest.mark.parametrize(("kind", "options", "field"), BAD)
def test_options_that_cannot_be_used_are_refused_at_their_name(kind, options, field):
    error = refusal(make_preset, kind=kind, options=options)
    assert (error.code, error.field) == ("spec_invalid", field)
    assert error.hint


def test_an_option_without_meaning_beside_a_named_choice_is_dropped():
    assert make_preset(options={"architecture": "topk", "l1_coefficient": 5.0}).spec == {"architecture": "topk"}


def test_a_preset_that_leaves_the_architecture_open_can_be_changed():
    kind = KINDS["training"]
    form = kind.form({"l1_coefficient": "7"}, only=["l1_coefficient"])
    assert form.is_valid()
    assert kind.options_of(form, ["l1_coefficient"]) == {"l1_coefficient": 7.0}


@pytest.mark.parametrize("name", ["", "  ", "x" * 121])
def test_a_name_is_needed_and_has_an_end(name):
    assert refusal(make_preset, name=name).field == "name"


def test_a_name_is_taken_in_its_kind_alone():
    make_preset("ask")
    assert refusal(make_preset, name="ask").status == 409
    assert make_preset("ask", "labeling", PROMPT).name == "ask"


def test_what_an_older_schema_stored_is_read_in_todays_names():
    preset = make_preset()
    Preset.objects.filter(pk=preset.pk).update(spec={"l1_warmup_steps": 7}, schema=1)
    preset.refresh_from_db()
    assert preset_options(preset) == {"sparsity_warmup_steps": 7}
    assert preset_asked({"preset": str(preset.pk)}, "training") == {"sparsity_warmup_steps": 7}
    assert preset_asked({"preset": str(preset.pk)}, "labeling") == preset_asked({"preset": "x"}, "training") == {}
    assert preset_document(preset)["schema"] == TrainSpec.SCHEMA


def document(**values):
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": "training",
        "name": "wide",
        "schema": 2,
        "spec": WIDE,
        **values,
    }


def test_a_file_in_the_seeds_names_is_imported_in_todays():
    spec = {"hidden_dim": 768, "latent_dim": 512, "top_k_sparsity": 1.0, "num_steps": 10, "training_layers": [3]}
    (preset,) = services.presets_import(content=document(spec=spec))
    assert preset.spec == {"d_sae": 512, "k": 5, "steps": 10}


def test_a_file_of_an_older_schema_is_brought_up_to_date():
    spec = {"architecture": "standard", "l1_warmup_steps": 7}
    (draft,) = documents_read(document(spec=spec, schema=1))
    assert draft.options == {"architecture": "standard", "sparsity_warmup_steps": 7}


REFUSED = [
    ({"format": "other"}, "preset_file"),
    ({"version": VERSION + 1}, "preset_too_new"),
    ({"schema": TrainSpec.SCHEMA + 1}, "preset_too_new"),
    ({"version": "1"}, "preset_file"),
    ({"version": True}, "preset_file"),
    ({"schema": 0}, "preset_file"),
    ({"kind": "moon"}, "preset_kind"),
    ({"kind": ["training"]}, "preset_kind"),
    ({"spec": [1]}, "preset_file"),
    ({"name": ""}, "preset_file"),
    ({"name": 3}, "preset_file"),
    ({"description": 3}, "preset_file"),
    ({"spec": {"unheard": 1}}, "spec_invalid"),
    ({"spec": {"device": "cpu"}}, "spec_invalid"),
]


@pytest.mark.parametrize(("change", "code"), REFUSED, ids=str)
def test_a_file_that_cannot_be_taken_is_refused_whole_and_says_which_of_its_presets_is_at_fault(change, code):
    error = refusal(services.presets_import, content=[document(name="fine"), document(**change)])
    assert error.code == code
    assert error.message.startswith("Template 2")
    assert not Preset.objects.filter(is_shipped=False).exists()


def test_a_newer_format_names_both_versions():
    error = refusal(services.presets_import, content=document(version=7))
    assert "its format is 7, 1 is known here" in error.message and error.hint == "Update the studio."


def test_only_the_kind_that_was_asked_for_is_welcome():
    assert refusal(services.presets_import, content=document(), kind="labeling").code == "preset_kind"


def test_too_many_at_once_are_refused():
    assert refusal(services.presets_import, content=[document()] * 201).code == "preset_file"


def test_clones_and_imports_get_the_next_free_name():
    preset = make_preset("x" * 120)
    assert services.preset_clone(preset=preset).name == "x" * 115 + " 2"
    assert services.preset_clone(preset=preset, name="own").name == "own"
    assert refusal(services.preset_clone, preset=preset, name="own").code == "name_taken"


def test_jobs_agree_with_a_preset_when_they_hold_all_that_it_decides():
    preset = make_preset(options={"architecture": "topk", "k": 32})
    wide, default, _other = make_training_job(d_sae=99), make_training_job(), make_training_job(k=16)
    assert jobs_agreeing(preset) == [default, wide]
    assert jobs_agreeing(make_preset("ask", "labeling", PROMPT)) == []


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda shipped: shipped.name)
def test_a_shipped_recipe_can_be_used_as_it_stands_and_names_its_source(shipped):
    assert KINDS["training"].options_read(shipped.options) == shipped.options
    assert shipped.source and shipped.description
    stored = Preset.objects.get(name=shipped.name)
    assert (stored.is_shipped, stored.spec, stored.source) == (True, shipped.options, shipped.source)


def test_updating_the_shipped_ones_twice_changes_nothing_and_mends_what_was_altered():
    before = list(Preset.objects.filter(is_shipped=True).order_by("pk").values_list("pk", "name"))
    first = Preset.objects.get(pk=before[0][0])
    services.preset_favourite_set(preset=first, is_favourite=True)
    Preset.objects.filter(pk=first.pk).update(spec={}, description="")
    Preset.objects.create(kind="training", name="a recipe that is gone", spec={}, is_shipped=True)
    shipped_update()
    assert list(Preset.objects.filter(is_shipped=True).order_by("pk").values_list("pk", "name")) == before
    first.refresh_from_db()
    assert first.spec and first.description and first.is_favourite


def test_a_name_that_the_researcher_took_stays_theirs():
    Preset.objects.filter(is_shipped=True).delete()
    own = make_preset(SHIPPED[0].name)
    shipped_update()
    own.refresh_from_db()
    assert own.spec == WIDE
    assert Preset.objects.get(name=f"{SHIPPED[0].name} (shipped)").is_shipped


def test_a_database_from_before_the_columns_is_left_alone():
    Preset.objects.filter(is_shipped=True).delete()
    config = django_apps.get_app_config("presets")
    first = MigrationLoader(connection).project_state(("presets", "0001_initial")).apps
    shipped_after_migration(config, apps=first)
    shipped_after_migration(django_apps.get_app_config("core"))
    assert not Preset.objects.exists()
    shipped_after_migration(config)
    assert Preset.objects.count() == len(SHIPPED)
