"""The order in which waiting jobs are taken, by kind: lower first. One table; a queued job's own number can be changed."""

PRIORITIES: dict[str, int] = {
    "steer": 10,
    "dataset_import": 20,
    "language_model_import": 20,
    "tokenize": 30,
    "activation_cache": 40,
    "train": 50,
    "evaluate": 60,
    "feature_run": 70,
    "export": 80,
}
