"""The architectures that can be trained, by the name that TrainSpec uses. A new one: a file here and a line below."""

from workers.engine.saes.base import TrainingSae
from workers.engine.saes.batchtopk import BatchTopKTrainingSae
from workers.engine.saes.gated import GatedTrainingSae
from workers.engine.saes.jumprelu import JumpReluTrainingSae
from workers.engine.saes.matryoshka import MatryoshkaTrainingSae
from workers.engine.saes.skip import SkipTrainingSae
from workers.engine.saes.skip_transcoder import SkipTranscoderTrainingSae
from workers.engine.saes.standard import StandardTrainingSae
from workers.engine.saes.topk import TopKTrainingSae
from workers.engine.saes.transcoder import TranscoderTrainingSae
from workers.engine.specs.errors import SpecInvalid

TRAINING_SAES: dict[str, type[TrainingSae]] = {
    cls.NAME: cls
    for cls in (
        StandardTrainingSae,
        GatedTrainingSae,
        JumpReluTrainingSae,
        TopKTrainingSae,
        BatchTopKTrainingSae,
        MatryoshkaTrainingSae,
        TranscoderTrainingSae,
        SkipTranscoderTrainingSae,
        SkipTrainingSae,
    )
}


def training_sae_class(name: str) -> type[TrainingSae]:
    """The class that trains architecture `name`; an unknown name raises SpecInvalid and lists the known ones."""
    if name not in TRAINING_SAES:
        raise SpecInvalid(
            f"There is no architecture {name!r}.", f"Known: {', '.join(sorted(TRAINING_SAES))}.", field="architecture"
        )
    return TRAINING_SAES[name]
