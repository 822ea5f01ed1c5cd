"""Whether a language model can read a tokenization: one rule for caches, training, evaluation and feature runs."""

from apps.core.errors import AppError
from apps.datasets.models import Tokenization
from apps.language_models.models import LanguageModel


def tokenization_require_fit(
    tokenization: Tokenization, language_model: LanguageModel, *, field: str = "tokenization"
) -> None:
    """AppError "tokenizer_mismatch" where its tokens mean nothing to the model, "context_too_long"; both name `field`."""
    is_own = tokenization.language_model_id == language_model.pk
    is_same = tokenization.tokenizer_sha256 == language_model.tokenizer_sha256
    if not (is_same and (is_own or language_model.tokenizer_sha256)):
        raise AppError(
            "tokenizer_mismatch",
            f"{tokenization} was cut with another tokenizer than that of {language_model}.",
            f"Tokenize {tokenization.dataset} with {language_model}.",
            field=field,
        )
    context_length_require_fit(
        tokenization.context_length, language_model, hint="Choose a tokenization with shorter contexts.", field=field
    )


def context_length_require_fit(context_length: int, language_model: LanguageModel, *, hint: str, field: str) -> None:
    """AppError "context_too_long" where the model reads fewer tokens at once."""
    longest = language_model.report.get("max_context") or context_length
    if context_length > longest:
        raise AppError(
            "context_too_long", f"{language_model} takes at most {longest:,} tokens in a context.", hint, field=field
        )
