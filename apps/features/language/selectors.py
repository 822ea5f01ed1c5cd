"""What pages and endpoints show of the language at a feature's peaks. The web reads what jobs found; it parses nothing."""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from django.db.models import Q

from apps.core.errors import AppError
from apps.core.selectors import row_of
from apps.features.artifacts import run_folder, unreadable, vocabulary_open
from apps.features.language.services import language_folder
from apps.features.models import Feature, LanguageAnalysis
from apps.jobs.states import State
from apps.jobs.subjects import with_job
from workers.engine.specs.feature_language import ANALYSES, ANALYSES_BATCH, FeatureLanguage
from workers.engine.text.decoding import visible
from workers.engine.text.spelling import Spelling
from workers.engine.text.tokens import token_texts


def language_analysis_get(pk: int) -> LanguageAnalysis:
    """The analysis; NotFound otherwise."""
    return row_of(LanguageAnalysis.objects.select_related("run__sae"), "language analysis", pk)


def analysis_read(row: LanguageAnalysis, index: int) -> FeatureLanguage | None:
    """What a finished analysis, of one feature or of all, says of a feature; None when it has no examples. AppError when the
    files are gone."""
    if row.index is not None:
        found = row.report["analysis"]
        return None if found is None else FeatureLanguage.from_json(found)
    folder = language_folder(row.run_id)
    try:
        file = pa.ipc.open_file(pa.memory_map(str(folder / ANALYSES)))
        found = file.get_batch(index // ANALYSES_BATCH)["analysis"][index % ANALYSES_BATCH].as_py()
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(folder.parent) from error
    return None if found is None else FeatureLanguage.from_json(json.loads(found))


@dataclass(frozen=True)
class FeatureAnalyses:
    """The rows about one feature: its own, and that of all features of its run."""

    own: LanguageAnalysis | None
    of_all: LanguageAnalysis | None

    @property
    def newest(self) -> LanguageAnalysis | None:
        """The one that ended last."""
        ready = [row for row in (self.own, self.of_all) if row is not None and row.is_ready]
        return max(ready, key=lambda row: row.ready_at, default=None)

    @property
    def under_way(self) -> LanguageAnalysis | None:
        """One whose job is active, the feature's own first; or, where nothing newer is ready, one whose job failed or was
        cancelled."""
        jobs = [(row, job) for row in (self.own, self.of_all) if row is not None and (job := row.job) is not None]
        active = [row for row, job in jobs if job.is_active]
        failed = [row for row, job in jobs if job.state != State.SUCCEEDED and self.newest in (None, row)]
        return next(iter(active + failed), None)


def analyses_of(feature: Feature) -> FeatureAnalyses:
    """The rows about a feature of a run."""
    wanted = Q(index=feature.index) | Q(index__isnull=True)
    rows = LanguageAnalysis.objects.select_related("run__sae").filter(wanted, run=feature.run_id)
    by_index = {row.index: row for row in rows}
    return FeatureAnalyses(by_index.get(feature.index), by_index.get(None))


@dataclass(frozen=True)
class CountRow:
    """One entry of a list: how it is shown, what it means, how often it occurs."""

    text: str
    note: str
    count: int
    share: float


@dataclass(frozen=True)
class CountList:
    """A list of the page, most frequent first; `more` entries are not shown."""

    title: str
    rows: list[CountRow]
    more: int


LISTS = (
    ("words", "Words"),
    ("tokens", "Tokens"),
    ("lemmas", "Lemmas"),
    ("pos", "Parts of speech"),
    ("morphology", "Word forms"),
    ("entities", "Names and quantities"),
    ("relations", "Role in the sentence"),
)
"""Names of FeatureLanguage with the title of their list."""
NEIGHBOURS = (
    ("Before", (("before", "one word"), ("before_2", "two words"), ("before_3", "three words"))),
    ("After", (("after", "one word"), ("after_2", "two words"), ("after_3", "three words"))),
)
OF_EXAMPLES = ("words", "tokens")
"""Lists whose shares are of all examples, not of those at words."""


class Shown:
    """An analysis as the page shows it."""

    def __init__(self, found: FeatureLanguage, spelling: Spelling) -> None:
        self.found, self._spelling = found, spelling
        self.lists = [made for name, title in LISTS if (made := self._list(name, title)).rows]
        self.neighbours = [
            (side, [made for name, title in lists if (made := self._list(name, title, fewest=2)).rows])
            for side, lists in NEIGHBOURS
        ]

    @property
    def heads(self) -> list[tuple[str, str, str, int]]:
        """(relation, what it means, lemma of the head, count)."""
        return [(tag, self.found.explained.get(tag, ""), visible(head), n) for tag, head, n in self.found.heads]

    @property
    def groups(self) -> list[tuple[str, int, list[str]]]:
        """(name in words, count, lemmas)."""
        return [
            (self.found.explained.get(group.name, group.name), group.count, [visible(each) for each in group.lemmas])
            for group in self.found.groups
        ]

    def _list(self, name: str, title: str, fewest: int = 1) -> CountList:
        """Entries that occur at least `fewest` times."""
        found = self.found
        entries = [entry for entry in getattr(found, name) if entry[1] >= fewest]
        of = found.examples if name in OF_EXAMPLES else found.at_words
        rows = [CountRow(*self._shown(name, text), count, count / max(1, of)) for text, count in entries]
        return CountList(title, rows, found.distinct.get(name, len(rows)) - len(rows))

    def _shown(self, name: str, text: str) -> tuple[str, str]:
        if name == "tokens":
            return visible(token_texts([text], self._spelling)[0]), text
        if name == "morphology":
            return text.replace("=", ": "), ""
        if name in ("pos", "entities", "relations"):
            return self.found.explained.get(text, text), text
        return visible(text), ""


def language_context(feature: Feature) -> dict[str, Any]:
    """The template context of the feature page's Language panel."""
    rows = analyses_of(feature)
    finished, row = rows.newest, rows.under_way
    shown, problem = None, None
    try:
        found = None if finished is None else analysis_read(finished, feature.index)
        shown = None if found is None else Shown(found, vocabulary_open(run_folder(feature.run_id)).spelling)
    except AppError as error:
        finished, problem = None, error
    return {
        "problem": problem,
        "row": row,
        "job": None if row is None else row.job,
        "finished": finished,
        "shown": shown,
        "parser": finished.report["parser"] if finished else "",
        "has_all": rows.of_all is not None and rows.of_all.is_ready,
    }


def language_json(feature: Feature) -> dict[str, Any]:
    """A feature's analysis as the API and `--json` show it; `analysis` is a FeatureLanguage, null before there is one and for a
    feature without examples."""
    rows = analyses_of(feature)
    finished, row = rows.newest, rows.under_way or rows.newest
    found = None if finished is None else analysis_read(finished, feature.index)
    shown = {
        "feature": feature.pk,
        "index": feature.index,
        "ready": finished is not None,
        "parser": finished.report["parser"] if finished else None,
        "analysis": None if found is None else found.to_json(),
        "url": f"{feature.get_absolute_url()}?panel=language",
    }
    return {**shown, "job": None} if row is None else with_job(shown, row)


def language_analysis_json(row: LanguageAnalysis) -> dict[str, Any]:
    """A language analysis as the API and `--json` show it; `report` is a FeatureLanguageResult."""
    shown = {
        "id": row.pk,
        "ready": row.is_ready,
        "run": row.run_id,
        "index": row.index,
        "report": row.report or None,
        "url": row.get_absolute_url(),
        "topic": row.topic,
    }
    return with_job(shown, row)
