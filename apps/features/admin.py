"""Features in the admin: rename, merge and clear labels and categories. Numbers are never edited by hand."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.core.errors import AppError
from apps.core.row_admin import FoldedSearch, RowAdmin
from apps.core.streaming import streamed
from apps.features import services
from apps.features.ablation.services import ablation_delete, ablation_start
from apps.features.bulk import bulk_apply
from apps.features.collections import services as collection_services
from apps.features.example_export import FORMATS, examples_exported
from apps.features.language.services import language_analysis_delete, language_analysis_start
from apps.features.maps.services import feature_map_delete, feature_map_start
from apps.features.models import Ablation, Collection, Feature, FeatureMap, FeatureRun, LanguageAnalysis, TriedText
from apps.features.trying.services import tried_text_delete
from workers.engine.specs.ablation import AblateSpec
from workers.engine.specs.feature_language import FeatureLanguageSpec
from workers.engine.specs.feature_map import FeatureMapSpec


class WordsActionForm(ActionForm):
    """The action's choice with the new words beside it."""

    words = forms.CharField(required=False, max_length=300, label="New words", help_text="For renaming and merging.")


class HasLabel(admin.SimpleListFilter):
    """With or without a label."""

    title = "label"
    parameter_name = "labelled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "with"), ("no", "without")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Feature]) -> QuerySet[Feature]:
        if self.value() is None:
            return queryset
        return queryset.filter(label="") if self.value() == "no" else queryset.exclude(label="")


@admin.register(Feature)
class FeatureAdmin(FoldedSearch):
    list_display = ["index", "sae", "label", "category", "label_source", "density", "maximum", "is_starred"]
    list_display_links = ["index"]
    list_filter = ["sae", HasLabel, "is_starred", "label_source", "category"]
    list_select_related = ["sae"]
    list_per_page = 50
    search_fields = ["label", "category", "gloss", "notes"]
    fields = [
        "label",
        "category",
        "notes",
        "is_starred",
        *(numbers := ["sae", "run", "index", "density", "mean", "maximum"]),
    ]
    readonly_fields = [*numbers, "peculiarity", "peak_words", "gloss", "promoted_tokens", "label_source", "changed_at"]
    action_form = WordsActionForm
    actions = [
        *("label_rename", "labels_merge", "category_rename", "category_set", "labels_clear"),
        *("star", "unstar", "collect", "examples_export", "ablate"),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Feature, form: forms.ModelForm, change: bool) -> None:
        """Through the service, as everywhere."""
        words = {name: form.cleaned_data[name] for name in ("label", "category", "notes", "is_starred")}
        services.feature_update(feature=obj, **words)

    @admin.action(description="Rename the labels of the selected features to the new words, in their whole SAE")
    def label_rename(self, request: HttpRequest, features: QuerySet[Feature]) -> None:
        """Every feature of the same SAE that bears one of the selected labels."""
        self._reword(request, features, "label", services.labels_merge, "labels")

    @admin.action(description="Give the selected features one label: the new words")
    def labels_merge(self, request: HttpRequest, features: QuerySet[Feature]) -> None:
        """Only the selected rows, labelled or not."""
        self._apply(request, features, "label")

    @admin.action(description="Rename or merge the categories of the selected features, with those below, in their SAE")
    def category_rename(self, request: HttpRequest, features: QuerySet[Feature]) -> None:
        """Every feature of the same SAE in, or below, one of the selected categories."""
        self._reword(request, features, "category", services.categories_merge, "categories")

    @admin.action(description="Put the selected features into one category: the new words")
    def category_set(self, request: HttpRequest, features: QuerySet[Feature]) -> None:
        """Only the selected rows."""
        self._apply(request, features, "category")

    @admin.action(description="Clear label and category of the selected features")
    def labels_clear(self, request: HttpRequest, features: QuerySet[Feature]) -> None:
        """Notes and stars stay."""
        self._apply(request, features, "clear")

    @admin.action(description="Put a star on the selected features")
    def star(self, request: HttpRequest, features: QuerySet[Feature]) -> None:
        """Those that have one keep it."""
        self._apply(request, features, "star")

    @admin.action(description="Take the star from the selected features")
    def unstar(self, request: HttpRequest, features: QuerySet[Feature]) -> None:
        """Words stay."""
        self._apply(request, features, "unstar")

    @admin.action(description="Add the selected features to the collection named by the new words")
    def collect(self, request: HttpRequest, features: QuerySet[Feature]) -> None:
        """The collection is made where there is none of that name."""
        self._apply(request, features, "collect")

    @admin.action(description="Export the selected features with their examples as JSON")
    def examples_export(self, request: HttpRequest, features: QuerySet[Feature]) -> HttpResponseBase:
        """Streamed, as from the list of an SAE."""
        pieces = examples_exported(features, "json")
        return streamed(request, pieces, content_type=FORMATS["json"], filename="features.json")

    def _apply(self, request: HttpRequest, features: QuerySet[Feature], action: str) -> None:
        """One of the list's actions for many features."""
        try:
            said = bulk_apply(features=features, action=action, words=self._words(request), user=request.user)
        except AppError as error:
            self.message_user(request, f"{error.message} {error.hint}", messages.ERROR)
        else:
            self.message_user(request, said)

    @admin.action(description="Measure what the language model loses without the selected features")
    def ablate(self, request: HttpRequest, features: QuerySet[Feature]) -> None:
        """A job for each feature, with the usual options."""
        for feature in features:
            try:
                started = ablation_start(spec=AblateSpec(sae=feature.sae_id, index=feature.index), user=request.user)
            except AppError as error:
                self.message_user(request, f"{feature}: {error.message} {error.hint}", messages.ERROR)
            else:
                self.message_user(request, f"{feature}: job {started.job.pk} measures it.")

    def _reword(
        self, request: HttpRequest, features: QuerySet[Feature], column: str, service: Callable[..., int], many: str
    ) -> None:
        """Call `service` for each SAE among the selected rows with the words that these rows bear."""
        pairs = set(features.exclude(**{column: ""}).order_by().values_list("sae_id", column))
        into = self._words(request)

        def work() -> int:
            return sum(
                service(
                    features=Feature.objects.filter(sae=sae),
                    into=into,
                    **{many: [word for owner, word in pairs if owner == sae]},
                )
                for sae in {owner for owner, _ in pairs}
            )

        self._try(request, work)

    def _words(self, request: HttpRequest) -> str:
        return request.POST.get("words", "")

    def _try(self, request: HttpRequest, work: Callable[[], int]) -> None:
        try:
            changed = work()
        except AppError as error:
            self.message_user(request, f"{error.message} {error.hint}", messages.ERROR)
        else:
            self.message_user(request, f"{changed:,} features changed.")


@admin.register(FeatureRun)
class FeatureRunAdmin(RowAdmin):
    list_display = ["id", "sae", "tokenization", "tokens", "alive", "bytes", "ready_at"]
    list_filter = ["sae"]
    list_select_related = ["sae", "tokenization__dataset", "tokenization__language_model"]
    actions = ["delete_rows", "language_analyse", "map_features"]

    @admin.action(description="Analyse the language of all their features")
    def language_analyse(self, request: HttpRequest, runs: QuerySet[FeatureRun]) -> None:
        """A job for each run."""
        self.each(request, runs, lambda run: f"job {_analysis_job(request, run)} was queued")

    def delete_row(self, row: FeatureRun) -> int:
        """Words on features stay."""
        return services.feature_run_delete(run=row)

    @admin.action(description="Map the features of the selected runs' SAEs")
    def map_features(self, request: HttpRequest, runs: QuerySet[FeatureRun]) -> None:
        """One map for each SAE, with the usual options."""

        def start(run: FeatureRun) -> str:
            made = feature_map_start(spec=FeatureMapSpec(sae=run.sae_id), user=request.user)
            return f"is mapped by job {made.job.pk}"

        self.each(request, runs, start)


def _analysis_job(request: HttpRequest, run: FeatureRun) -> int:
    return language_analysis_start(spec=FeatureLanguageSpec(run=run.pk), user=request.user).job.pk


@admin.register(LanguageAnalysis)
class LanguageAnalysisAdmin(RowAdmin):
    list_display = ["id", "run", "index", "created_by", "created_at", "ready_at"]
    list_filter = ["run__sae"]
    list_select_related = ["run__sae", "created_by"]

    def delete_row(self, row: LanguageAnalysis) -> int:
        """The files of an analysis of all features go as well."""
        return language_analysis_delete(analysis=row)


@admin.register(TriedText)
class TriedTextAdmin(RowAdmin):
    list_display = ["id", "sae", "__str__", "created_by", "created_at", "ready_at"]
    list_filter = ["sae"]
    list_select_related = ["sae", "created_by"]

    def delete_row(self, row: TriedText) -> int:
        """Nothing lies on disk."""
        return tried_text_delete(tried=row)


@admin.register(Collection)
class CollectionAdmin(RowAdmin):
    list_display = ["name", "note", "created_by", "created_at", "changed_at"]
    search_fields = ["name", "note"]
    editable = ("name", "note")

    def rename_row(self, row: Collection) -> None:
        """Name and note."""
        collection_services.collection_change(collection=row, name=row.name, note=row.note)

    def delete_row(self, row: Collection) -> int:
        """Nothing lies on disk; the features stay."""
        collection_services.collection_delete(collection=row)
        return 0


@admin.register(Ablation)
class AblationAdmin(RowAdmin):
    list_display = ["id", "feature", "run", "created_by", "created_at", "ready_at"]
    list_filter = ["feature__sae"]
    list_select_related = ["feature__sae", "run__sae", "created_by"]

    def delete_row(self, row: Ablation) -> int:
        """Nothing lies on disk."""
        return ablation_delete(ablation=row)


@admin.register(FeatureMap)
class FeatureMapAdmin(RowAdmin):
    list_display = ["id", "sae", "method", "bytes", "created_by", "created_at", "ready_at"]
    list_filter = ["sae"]
    list_select_related = ["sae", "created_by"]

    def delete_row(self, row: FeatureMap) -> int:
        """With its file."""
        return feature_map_delete(feature_map=row)
