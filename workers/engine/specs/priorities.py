"""The order in which waiting jobs are taken, by kind: lower first. One table; a queued job's own number can be changed."""

PRIORITIES: dict[str, int] = {
    "token_preview": 5,
    "dataset_lookup": 5,
    "language_model_lookup": 5,
    "try_text": 8,
    "ablate": 9,
    "steer": 10,
    "vocabulary_rebuild": 15,
    "dataset_import": 20,
    "language_model_import": 20,
    "language_model_quantize": 25,
    "language_model_check": 25,
    "tokenize": 30,
    "activation_cache": 40,
    "train": 50,
    "evaluate": 60,
    "feature_run": 70,
    "feature_map": 75,
    "export": 80,
    "feature_language": 90,
}
