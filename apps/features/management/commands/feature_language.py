"""`manage.py feature_language --run 1 [--feature 7] --wait`: what a parser says of the words at which features fire."""

from apps.features.language.selectors import analysis_read, language_analysis_get
from apps.features.language.services import language_analysis_start
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from workers.engine.specs.feature_language import FeatureLanguageSpec


class Command(SpecCommand):
    help = (
        "Parse the contexts of a feature run's examples and count words, parts of speech and neighbours at the peaks."
    )
    spec_class = FeatureLanguageSpec

    def start(self, spec: FeatureLanguageSpec) -> Job:
        """The job of the analysis."""
        return language_analysis_start(spec=spec).job

    def show(self, job: Job) -> None:
        """For one feature its sentence; for all, how many were analysed."""
        row = language_analysis_get(job.subject_id)
        if row.index is None:
            report = row.report
            self.stdout.write(
                f"{report['features']:,} features on {report['contexts']:,} contexts, {report['parser']}."
            )
        else:
            found = analysis_read(row, row.index)
            self.stdout.write(found.summary if found else "This feature has no examples.")
