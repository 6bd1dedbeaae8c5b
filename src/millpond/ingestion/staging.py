"""dlt's part: rows of its resources that yield dicts, extracted into Parquet files of this load alone.

Every load has a pipeline folder of its own, so that no package left by a crashed load is ever taken for
this one's, and no two processes share one. What dlt calls normalizing would change nothing (the columns are
given), and what it calls loading is the lake's business.
"""

from __future__ import annotations

import inspect
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import GeneratorType

import dlt
import pyarrow as pa
from dlt.pipeline.exceptions import PipelineStepFailed

from millpond.errors import MillpondError, StorageFailed
from millpond.internals.dlt import disable_anon_tracker, remember_secret_hints
from millpond.lake.files import NO_ROOM, is_disk_full

_ABANDONED_SECONDS = 24 * 3600
_ADVICE = "Possible solutions:"
"""What DuckDB advises from here on is about settings that a load chooses itself."""

Stream = Callable[[], Iterator[pa.Table]]


@contextmanager
def open_staging_folder(root: Path, label: str) -> Iterator[Path]:
    """Yield a new folder below `root`, removed at the end; removes those that crashed loads left long ago.

    Raises StorageFailed if its disk has no space left.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in root.glob("load-*"):
        if time.time() - old.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    folder = root / f"load-{label}-{uuid.uuid4().hex[:12]}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    except MillpondError:
        raise
    except Exception as error:
        if not is_disk_full(error):
            raise
        cause = str(_root(error))
        where = f"the staging folder {root} has no space left"
        if NO_ROOM in cause:
            where = f"the rows have room neither in memory nor in the staging folder {root}"
        raise StorageFailed(
            f"{label}: {where}: {cause.partition(_ADVICE)[0].strip()}",
            unharmed="the tables; nothing was loaded",
            next_step="free space on its disk, or load fewer days at a time, then repeat the load",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stage_pages(pages: Stream, folder: Path) -> list[Path]:
    """Return the Parquet files below `folder` with the rows of all `pages`."""
    _prepare_dlt()
    pipeline = dlt.pipeline("rows", pipelines_dir=str(folder / "dlt"))
    pipeline.config.restore_from_destination = False
    rows = dlt.resource(_tell_module(pages()), name="rows", parallelized=True)
    try:
        pipeline.extract(rows, loader_file_format="parquet", workers=1, max_parallel_items=2)
    except PipelineStepFailed as error:
        cause = _root(error)
        if isinstance(cause, Exception):
            raise
    else:
        return _files(pipeline)
    raise cause  # dlt takes Ctrl-C for a failure


def _tell_module(rows: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tell Python the module of a generator; dlt asks for it, and Python would look through all modules."""
    if isinstance(rows, GeneratorType) and (frame := rows.gi_frame):
        inspect.modulesbyfile.setdefault(inspect.getabsfile(frame), frame.f_globals["__name__"])
    return rows


@lru_cache(1)
def _prepare_dlt() -> None:
    """Keep dlt from reporting on its users, and from deriving what types are for each value.

    The option alone comes too late, as setting it starts reports.
    """
    dlt.config["runtime.dlthub_telemetry"] = False
    disable_anon_tracker()
    remember_secret_hints()


def _files(pipeline: dlt.Pipeline) -> list[Path]:
    return [
        Path(job.file_path)
        for package in pipeline.list_extracted_load_packages()
        for job in pipeline.get_load_package_info(package).jobs["new_jobs"]
        if job.job_file_info.table_name == "rows"
    ]


def _root(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
