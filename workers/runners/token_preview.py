"""Preview tokens: rows or a text as a tokenization would cut them, kept in the TokenPreview row; no file is written."""

from apps.datasets.models import TokenPreview
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from workers.engine.specs.tokenization import TokenPreviewInputs, TokenPreviewResult, TokenPreviewSpec
from workers.runners.base import Runner
from workers.runners.tokenize import text_inputs


class TokenPreviewRunner(Runner):
    """The warm child answers: it keeps the tokenizer between previews."""

    spec = TokenPreviewSpec
    inputs = TokenPreviewInputs
    result = TokenPreviewResult

    def prepare(self, job: Job, spec: TokenPreviewSpec, where: dict[str, str]) -> TokenPreviewInputs:
        self.subject(job)
        return TokenPreviewInputs(**where, **text_inputs(spec))

    def finish(self, job: Job, spec: TokenPreviewSpec, result: TokenPreviewResult, out_dir: str) -> None:
        preview: TokenPreview = self.subject(job)
        preview.report = result.to_json()
        subject_ready(preview)
