"""Tokenize dataset: contexts go to tokenizations/<id>/, the accounting of tokens into the Tokenization row."""

from pathlib import Path

from apps.core.live.publishing import publish
from apps.core.storage import artifact_place
from apps.datasets.models import Dataset
from apps.datasets.selectors import dataset_folder, dataset_ready
from apps.datasets.tokenization_selectors import tokenization_folder
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.language_models.selectors import language_model_folder, language_model_ready
from workers.engine.specs.tokenization import EditedRow, TokenizeInputs, TokenizeResult, TokenizeSpec
from workers.runners.base import Runner


class TokenizeRunner(Runner):
    """Rows, but for those the curator left out and with the texts the curator replaced, cut into contexts."""

    spec = TokenizeSpec
    inputs = TokenizeInputs
    result = TokenizeResult

    def prepare(self, job: Job, spec: TokenizeSpec, where: dict[str, str]) -> TokenizeInputs:
        self.subject(job)
        return TokenizeInputs(**where, **text_inputs(spec))

    def finish(self, job: Job, spec: TokenizeSpec, result: TokenizeResult, out_dir: str) -> None:
        tokenization = self.subject(job)
        artifact_place(Path(out_dir), tokenization_folder(tokenization.pk))
        tokenization.contexts = result.contexts
        tokenization.heldout_contexts = result.heldout_contexts
        tokenization.train_tokens = result.tokens
        tokenization.heldout_tokens = result.heldout_tokens
        tokenization.tokenizer_sha256 = result.tokenizer_sha256
        tokenization.tokens_sha256 = result.tokens_sha256
        tokenization.bytes = result.bytes
        tokenization.report = result.to_json()
        subject_ready(tokenization)
        publish(tokenization.dataset.topic, tokenization.language_model.topic)


def text_inputs(spec: TokenizeSpec) -> dict[str, object]:
    """What a tokenization and its preview read: rows, tokenizer, the column with the text, what the curator marked."""
    dataset, language_model = dataset_ready(spec.dataset), language_model_ready(spec.language_model)
    return {
        "dataset_dir": str(dataset_folder(dataset.pk)),
        "model_dir": str(language_model_folder(language_model.pk)),
        "text_column": spec.text_column or dataset.text_column,
        "excluded_rows": tuple(dataset.marks.filter(excluded=True).values_list("row", flat=True)),
        "edited_rows": edited_rows(dataset),
    }


def edited_rows(dataset: Dataset) -> tuple[EditedRow, ...]:
    """The rows whose text the curator replaced, excluded ones left out."""
    marks = dataset.marks.filter(excluded=False).exclude(text=None).exclude(text="")
    return tuple(EditedRow(row=mark.row, text=mark.text) for mark in marks)
