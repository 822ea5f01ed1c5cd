"""`manage.py feature_map --sae 1 --wait`: lay out the features of an SAE on a plane."""

from apps.features.maps.selectors import map_get, map_words
from apps.features.maps.services import feature_map_start
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from workers.engine.specs.feature_map import NEAREST, FeatureMapResult, FeatureMapSpec


class Command(SpecCommand):
    help = "Lay out an SAE's features on a map, those whose decoder rows point alike close together."
    spec_class = FeatureMapSpec

    def start(self, spec: FeatureMapSpec) -> Job:
        return feature_map_start(spec=spec).job

    def show(self, job: Job) -> None:
        """The method and what of the neighbourhoods is kept."""
        made = map_get(job.subject_id)
        result = FeatureMapResult.from_json(made.report)
        kept, chance = 100 * result.neighbours_kept, 100 * result.neighbours_kept_chance
        self.stdout.write(
            f"{map_words(made)} in {result.seconds:.1f} s; of the {NEAREST} nearest by cosine {kept:.3g} % are among the "
            f"{NEAREST} nearest on the map (n = {result.neighbours_kept_n:,}; by chance {chance:.2g} %)."
        )
        self.stdout.write(made.get_absolute_url())
