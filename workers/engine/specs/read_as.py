"""How a language model was read for a result: in which precision, and in contexts of which length.

An SAE belongs to the activations it was trained on. The precision of a language model's row may change afterwards, and a text
may come in longer contexts than the training's: every result keeps how it was read, and says where that differs.
"""

from dataclasses import dataclass

from workers.engine.specs.base import Record
from workers.engine.specs.language_models import QUANTIZATIONS


@dataclass(frozen=True, kw_only=True)
class ReadAs(Record):
    """Empty and 0 where it is not known."""

    lm_dtype: str = ""
    """What the language model computes in: float32, bfloat16, float16."""
    quantization: str = ""
    """How its weights are held: a key of QUANTIZATIONS."""
    context_length: int = 0
    """Tokens in the longest context."""

    @property
    def words(self) -> str:
        """ "bfloat16, weights held as 4-bit …, contexts of 128 tokens"; what is not known is left out."""
        parts = [self._precision, f"contexts of up to {self.context_length:,} tokens" if self.context_length else ""]
        return ", ".join(filter(None, parts))

    @property
    def _precision(self) -> str:
        held = dict(QUANTIZATIONS).get(self.quantization, self.quantization)
        return ", ".join(filter(None, [self.lm_dtype, held and f"weights held as {held}"]))

    def differences(self, trained: "ReadAs") -> tuple[str, ...]:
        """A sentence for each point in which this reading is not that of the training; none for what is not known of both."""
        said = []
        names = ("lm_dtype", "quantization")
        pairs = [(getattr(self, name), getattr(trained, name)) for name in names]
        if any(own and other and own != other for own, other in pairs):
            said.append(
                f"The language model was read in {self._precision}; the SAE was trained on {trained._precision}: its "
                "numbers are not those of the training."
            )
        if self.context_length > trained.context_length > 0:
            said.append(
                f"Contexts of {self.context_length:,} tokens are longer than the {trained.context_length:,} tokens it was "
                "trained on: further on it reconstructs less."
            )
        return tuple(said)
