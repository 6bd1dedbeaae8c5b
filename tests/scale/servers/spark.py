"""Spark, a client of the REST catalog: PySpark and Iceberg's runtime for it, apart from Millpond's packages.

As a program it runs the statements of its input, one a line, and answers each with a line; both are JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servers.cache import installed
from servers.tools import artifact, java

_VERSION, _ICEBERG = "3.5.9", "1.11.0"
_REQUIREMENTS = f"""\
pyspark=={_VERSION} --hash=sha256:ea27adc39ddac9413b8951e45aa748cbed6c785971b81386efc41938f6243d93
py4j==0.10.9.9 --hash=sha256:c7c26e4158defb37b0bb124933163641a2ff6e3a3913f7811b0ddbe07ed61533
"""
_RUNTIME = "94b8e36fc329f0293d44ba9e01b784a56e9501affec1842d898144c51f6e486a"
_JDK = {"oldest": 17, "below": 22}
"""Spark 3.5 runs on no newer one."""
_SMALL = {
    # Short statements on few cores: compilers would take longer than they save.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "768m",
    "spark.sql.shuffle.partitions": "1",
}


class Refused(Exception):
    """Spark does not run a statement; says why."""


def install() -> Path:
    """Return the folder with PySpark and Iceberg's jar, fetched if need be."""
    return installed(f"spark-{_VERSION}-iceberg-{_ICEBERG}", _fetch, "365 MB to fetch")


@contextmanager
def session(properties: dict[str, str]) -> Iterator[Callable[[str], list[list[Any]]]]:
    """Yield what runs a statement in a Spark with these properties, on one core, and returns its rows.

    Values that JSON does not know are strings. Raises Refused.
    """
    folder = install()
    (jar,) = folder.glob("*.jar")
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(folder / "packages")])
    environment = {**os.environ, "PYTHONPATH": path, "JAVA_HOME": str(java(**_JDK).parents[1])}
    told = {"spark.driver.extraClassPath": str(jar), **_SMALL, **properties}
    command = [sys.executable, "-m", "servers.spark", json.dumps(told)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stdin
        assert process.stdout

        def run(statement: str) -> list[list[Any]]:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(statement) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            if "error" in answer:
                raise Refused(answer["error"])
            rows: list[list[Any]] = answer["rows"]
            return rows

        yield run
        process.stdin.close()


def _fetch(folder: Path) -> None:
    artifact(f"org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:{_ICEBERG}:jar", _RUNTIME, folder)
    requirements = folder / "requirements.txt"
    requirements.write_text(_REQUIREMENTS)
    uv = [Path(sys.executable).parent / "uv", "pip", "install", "--quiet", "--no-cache", "--require-hashes"]
    subprocess.run([*uv, "--target", folder / "packages", "-r", requirements], check=True)


def _answer(properties: dict[str, str]) -> None:
    from pyspark.sql import SparkSession  # type: ignore[import-not-found]  # only where it is installed

    builder = SparkSession.builder.master("local[1]")
    for name, value in properties.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    for line in sys.stdin:
        answer: dict[str, Any]
        try:
            answer = {"rows": [list(row) for row in spark.sql(json.loads(line)).collect()]}
        except Exception as error:  # noqa: BLE001 - the one who asked raises it
            answer = {"error": str(error)}
        print(json.dumps(answer, default=str), flush=True)
    spark.stop()


if __name__ == "__main__":
    _answer(json.loads(sys.argv[1]))
