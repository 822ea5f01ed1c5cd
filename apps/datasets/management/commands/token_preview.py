"""`manage.py token_preview`: rows, or a text, as a tokenization would cut them, without storing anything."""

from typing import Any

from apps.datasets.tokenization_selectors import preview_get
from apps.datasets.tokenization_services import token_preview_start
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.language_models.vocabulary import vocabulary_of
from workers.engine.specs.tokenization import DROP_REASONS, TokenPreviewSpec
from workers.engine.text.decoding import visible
from workers.engine.text.spelling import Spelling
from workers.engine.text.tokens import token_texts


class Command(SpecCommand):
    help = "Show what a tokenization would make of some rows or of a text; tokens in [-…-] are taken out by a filter."
    spec_class = TokenPreviewSpec

    def start(self, spec: TokenPreviewSpec) -> Job:
        return token_preview_start(spec=spec).job

    def show(self, job: Job) -> None:
        """The rows, each as its text and its tokens."""
        preview = preview_get(job.subject_id)
        spelling = vocabulary_of(preview.language_model_id).spelling
        for row in preview.report["rows"]:
            self.stdout.write(row_words(row, spelling))


def row_words(row: dict[str, Any], spelling: Spelling) -> str:
    """One row as lines: its counts, its text, its tokens between bars."""
    kept = sum(row["is_kept"])
    title = "Text" if row["row"] < 0 else f"Row {row['row']}"
    dropped = f", dropped: {DROP_REASONS[row['drop_reason']]}" if row["drop_reason"] else ""
    texts = [visible(text) for text in token_texts(row["tokens"], spelling)]
    chips = [text if stays else f"[-{text}-]" for text, stays in zip(texts, row["is_kept"])]
    counts = f"{title}: {len(texts):,} tokens, {kept:,} kept, {len(texts) - kept:,} filtered{dropped}"
    return f"{counts}\n  {row['text']}\n  {'|'.join(chips)}"
