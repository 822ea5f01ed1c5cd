"""The database's schema at the start of the studio: a newer one is refused, an older one is copied, then migrated."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from apps.core.errors import AppError

KEPT_COPIES = 3


def schema_make() -> None:
    """Give a new, empty database its tables, so that commands may come before the studio's first start."""
    if MigrationRecorder.Migration._meta.db_table not in connection.introspection.table_names():
        schema_prepare()


def schema_prepare() -> Path | None:
    """Bring the database to this code's schema. Returns the copy made of an SQLite file before migrating, if any.

    Raises AppError "schema_newer" when the database was migrated by a newer version of the studio.
    """
    executor = MigrationExecutor(connection)
    known = set(executor.loader.disk_migrations)
    own_apps = {app for app, _ in known}
    applied = {key for key in MigrationRecorder(connection).applied_migrations() if key[0] in own_apps}
    squashed = {key for migration in executor.loader.disk_migrations.values() for key in migration.replaces}
    newer = sorted(applied - known - squashed)
    if newer:
        app, name = newer[-1]
        raise AppError(
            "schema_newer",
            f"The database has been migrated by a newer studio ({app}.{name} is unknown here).",
            "Update the studio, or start it with another DATA_DIR. Copies made before migrations lie beside db.sqlite3.",
        )
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return None
    copy = _sqlite_copy() if applied else None
    call_command("migrate", interactive=False, verbosity=0)
    return copy


def _sqlite_copy() -> Path | None:
    """A consistent copy of the SQLite file beside it; older copies but KEPT_COPIES go."""
    if connection.vendor != "sqlite":
        return None
    source = Path(connection.settings_dict["NAME"])
    free = shutil.disk_usage(source.parent).free
    if free < 2 * source.stat().st_size:
        raise AppError(
            "disk_full",
            f"No room for a copy of {source.name} before its migration: {free // 2**20} MiB are free.",
            "Free some space on the data disk and start again.",
        )
    target = source.with_name(f"{source.stem}-{timezone.now():%Y%m%d-%H%M%S}.sqlite3")
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    for old in sorted(source.parent.glob(f"{source.stem}-*.sqlite3"))[:-KEPT_COPIES]:
        old.unlink()
    return target
