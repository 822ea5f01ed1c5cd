"""`manage.py ablate --sae 1 --index 5 --wait`: what the language model loses without a feature."""

from apps.features.ablation.selectors import MEANS, UNIT, delta_strips, effect_words, verdict
from apps.features.ablation.services import ablation_start
from apps.features.models import Ablation
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.saes.reading import reading_notes
from workers.engine.specs.ablation import AblateResult, AblateSpec


class Command(SpecCommand):
    help = "Take a feature out of the language model wherever it fires and print the change in cross-entropy."
    spec_class = AblateSpec

    def start(self, spec: AblateSpec) -> Job:
        return ablation_start(spec=spec).job

    def show(self, job: Job) -> None:
        """The four means, then the token behind the peak of each context kept."""
        ablation = Ablation.objects.select_related("feature__sae").get(pk=job.subject_id)
        result = AblateResult.from_json(ablation.report)
        for name, (label, _) in MEANS.items():
            effect = getattr(result, name)
            words = f"{effect_words(effect)} {UNIT}, {effect.predictions:,} tokens in {effect.contexts} contexts"
            self.stdout.write(f"{label:<16} {words}: {verdict(effect)}")
        for strip in delta_strips(ablation, result):
            text = "".join(span.text for span in strip.spans)
            self.stdout.write(f"  {strip.at_peak_words:>9}  {text}")
        for note in reading_notes(ablation.feature.sae, ablation.report):
            self.stdout.write(note)
