"""`manage.py try_text --sae 1 --text "…" --wait`: which features of an SAE fire on a text."""

from apps.features.trying.selectors import FeatureRow, tried_context, tried_text_get
from apps.features.trying.services import text_try
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from workers.engine.specs.try_text import TryTextSpec
from workers.engine.text.decoding import visible
from workers.engine.text.tokens import token_texts


class Command(SpecCommand):
    help = "Read a text with an SAE and print the features that fire; with --other, what the second text changes."
    spec_class = TryTextSpec

    def start(self, spec: TryTextSpec) -> Job:
        return text_try(spec=spec).job

    def follow(self, job: Job, *, wait: bool, as_json: bool) -> Job:
        """With --wait the features are printed below the job's last word."""
        job = super().follow(job, wait=wait, as_json=as_json)
        if wait and not as_json:
            shown = tried_context(tried_text_get(job.subject_id))
            for line in (*map(feature_words, shown["feature_rows"]), *shown["notes"]):
                self.stdout.write(line)
        return job


def feature_words(row: FeatureRow) -> str:
    """A line: number, maxima, what changes, the token of the peak, the label."""
    peaks = []
    for (tokens, values), most in zip(row.strips, row.maxima):
        place = values.index(most)
        peaks.append(f"{most:.3g} at {visible(token_texts(tokens, row.spelling)[place])}" if most else "silent")
    label = f"  {row.feature.label}" if row.feature and row.feature.label else ""
    return f"{row.index:>7}  {' → '.join(peaks)}{f'  {row.change}' if row.change else ''}{label}"
