"""`manage.py language_model_lookup --repo-id ID --wait`: what the Hub says of a language model, before any download."""

from apps.core.templatetags.studio import bytes_words
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.language_models.fit import ModelShape, quantization_fits
from apps.language_models.selectors import lookup_get
from apps.language_models.services import language_model_lookup
from workers.engine.specs.language_models import LanguageModelLookupSpec


class Command(SpecCommand):
    help = "Look a language model up on the Hub: size, licence, and how it fits this machine; --wait shows the answer."
    spec_class = LanguageModelLookupSpec

    def start(self, spec: LanguageModelLookupSpec) -> Job:
        return language_model_lookup(spec=spec).job

    def show(self, job: Job) -> None:
        """What the Hub said."""
        found = lookup_get(job.subject_id).report
        gated = ", gated" if found["gated"] else ""
        self.stdout.write(
            f"{found['repo_id']} at {found['revision']}: {found['licence'] or 'no licence stated'}{gated}"
        )
        size = bytes_words(found["bytes"])
        self.stdout.write(f"{found['architecture']}, {found['parameters']:,} parameters, {size} to download")
        for line in quantization_fits(ModelShape.from_report(found)):
            words = [f"{fit.device} {fit.verdict.word} ({bytes_words(fit.need.total_bytes)})" for fit in line.devices]
            self.stdout.write(
                f"{line.quantization:5} {', '.join(words)}{'  recommended' if line.is_recommended else ''}"
            )
