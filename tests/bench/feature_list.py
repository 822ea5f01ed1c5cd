"""How long the feature list takes on the server: 131,072 features of one SAE, with words, counted and one page of 50.

    python -m tests.bench.feature_list [SQLite|PostgreSQL] [FEATURES]

prints one JSON line for each case: milliseconds of clock, a median, and of CPU, a mean that counts PostgreSQL's process for
this connection too. The rows are made up: densities and maxima over their usual ranges, Zipf-like tokens, two words of label
and a category each.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from urllib.parse import urlencode

import psutil

FEATURES = 131_072
ROUNDS = 9
TOKENS = 50_000
"""Size of the made-up vocabulary."""
WORDS = 5_000
TOKENS_EACH = 20
PAGE_SIZE = 50
AT_ONCE = 5_000
CASES: dict[str, dict[str, object]] = {
    "everything": {},
    "token, frequent": {"fires_on": "t3"},
    "token, rare": {"fires_on": "t40000"},
    "short prefix": {"query": "w1"},
    "one letter": {"query": "w"},
    "long prefix": {"query": "w1234"},
    "two words": {"query": "w1 w2"},
    "word and token": {"query": "w1 token:t3"},
    "notes": {"query": "notes:wet"},
    "category": {"category": "c3"},
    "range and sort": {"min_density": "0.001", "sort": "maximum"},
    "three ranges": {"min_density": "0.0001", "min_max": "2", "min_score": "0.3", "sort": "agreement"},
    "prefix and range": {"query": "w1", "min_density": "0.001", "sort": "maximum"},
    "labelled, starred": {"labelled": "yes", "starred": "on", "sort": "score"},
    "last page": {"sort": "mean", "min_score": "0.2", "page": "2000"},
}


def world_make(count: int) -> int:
    """An SAE with `count` features, their rows and terms; its id."""
    import numpy as np

    from apps.features.models import Feature, FeatureTerm
    from apps.features.search.terms import token_terms_replace
    from apps.features.services import features_label, features_star
    from tests.apps.features.worlds import sae_make

    sae, chance = sae_make(d_sae=count), np.random.default_rng(0)
    density = 10 ** chance.uniform(-6, -1, count)
    maximum, shares = chance.gamma(3, 2, count), chance.random((count, 4))
    ids_FL = np.minimum(chance.zipf(1.3, (count, TOKENS_EACH)), TOKENS) - 1
    for start in range(0, count, AT_ONCE):
        Feature.objects.bulk_create(
            Feature(
                sae=sae,
                index=i,
                density=density[i],
                mean=maximum[i] / 3,
                maximum=maximum[i],
                firings=int(density[i] * 1e7),
                consistency=shares[i, 0],
                concentration=shares[i, 1],
                agreement=shares[i, 2],
                score=shares[i, 3],
                gloss=" ".join(f"t{token}" for token in ids_FL[i]),
                promoted_tokens=" ".join(f"t{token}" for token in ids_FL[i, :10]),
                notes="a wet day" if i % 1000 == 0 else "",
                is_starred=i % 100 == 0,
            )
            for i in range(start, min(start + AT_ONCE, count))
        )
    texts = {token: f"t{token}" for token in range(TOKENS)}
    for kind in (FeatureTerm.Kind.FIRES_ON, FeatureTerm.Kind.PROMOTES):
        began = time.perf_counter()
        token_terms_replace(sae_id=sae.pk, kind=kind, texts=texts, ids_FL=ids_FL)
        said("write the terms of a run", seconds=round(time.perf_counter() - began, 2))
    began = time.perf_counter()
    for number in range(WORDS // 10):
        some = sae.features.filter(index__in=range(number, count, WORDS // 10))
        features_label(
            features=some, label=f"w{number * 7 % WORDS} w{number}", category=f"c{number % 10} > d{number % 100}"
        )
    said("label 500 times 262", seconds=round(time.perf_counter() - began, 2))
    began = time.perf_counter()
    features_star(features=sae.features.filter(index__lt=count // 2), is_starred=True)
    said("star half of them", seconds=round(time.perf_counter() - began, 2))
    features_star(features=sae.features.exclude(index__in=range(0, count, 100)[:900]), is_starred=False)
    began = time.perf_counter()
    features_label(features=sae.features.filter(index__gte=count // 2), category="c1 > second half")
    said("one category for half of them", seconds=round(time.perf_counter() - began, 2))
    return sae.pk


def said(case: str, **figures: object) -> None:
    """One JSON line."""
    from django.db import connection

    print(json.dumps({"bench": "feature_list", "database": connection.vendor, "case": case, **figures}), flush=True)


def measure(sae_id: int) -> None:
    """Print the line of each case, and of each sort behind a range."""
    from django.core.paginator import Paginator
    from django.test import Client

    from apps.core.services import owner_ensure
    from apps.features.forms import FeatureFilterForm
    from apps.features.selectors import SORTS, FoundFeatures

    def answer(asked: dict) -> int:
        form = FeatureFilterForm(asked)
        page = Paginator(FoundFeatures(form.features_asked(sae=sae_id)), PAGE_SIZE).get_page(asked.get("page"))
        assert len(list(page)) <= PAGE_SIZE
        return page.paginator.count

    sorts = {f"sort by {sort}": {"sort": sort, "max_density": "0.01"} for sort in SORTS}
    for case, asked in (CASES | sorts).items():
        timed(case, lambda asked=asked: answer(asked))
    client = Client(headers={"host": "localhost"})
    client.force_login(owner_ensure())
    for case in ("short prefix", "three ranges"):
        url = f"/features/sae/{sae_id}/?{urlencode(CASES[case])}"
        timed(f"{case}, the whole page", lambda url=url: client.get(url).status_code)


def timed(case: str, work: Callable[[], int]) -> None:
    """Print the line of a case."""
    work()  # warms up
    clock, cpu = [], cpu_s()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = work()
        clock.append(time.perf_counter() - began)
    ms, cpu_ms = 1000 * statistics.median(clock), 1000 * (cpu_s() - cpu) / ROUNDS
    said(case, found=found, ms=round(ms, 1), cpu_ms=round(cpu_ms, 1))


def cpu_s() -> float:
    """CPU seconds that this process has used, with those of PostgreSQL's for its connection."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return time.process_time()
    theirs = psutil.Process(connection.connection.info.backend_pid).cpu_times()
    return time.process_time() + theirs.user + theirs.system


def run(count: int) -> None:
    """Fill the database that the environment names, measure."""
    from django.db import connection

    sae_id = world_make(count)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # as autovacuum does within a minute
            cursor.execute("VACUUM ANALYZE features_feature")
            cursor.execute("VACUUM ANALYZE features_featureterm")
            cursor.execute("SET max_parallel_workers_per_gather = 0")  # whose CPU would not be counted
    measure(sae_id)


def databases_run(module: str, databases: list[str], count: int) -> None:
    """`run(count)` of a bench in a process for each kind of database, with a fresh one in a temporary data folder."""
    from tests.postgres import postgres_url

    command = f"from tests.bench.feature_list import migrated; migrated(); from {module} import run; run({count})"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATA_DIR"] = folder
        for database in databases:
            if database == "SQLite":
                os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", command])
                continue
            with postgres_url() as url:
                environment = {**os.environ, "DATABASE_URL": url}
                os.spawnve(os.P_WAIT, sys.executable, [sys.executable, "-c", command], environment)


def migrated() -> None:
    """Start Django on the database that the environment names, at its newest schema."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mistudio_site.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    wanted = [word for word in sys.argv[1:] if not word.isdecimal()] or ["SQLite", "PostgreSQL"]
    counts = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    databases_run("tests.bench.feature_list", wanted, counts[0] if counts else FEATURES)
