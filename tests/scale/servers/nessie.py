"""Nessie, the catalog with branches of its own: the newest one that is to be had as one jar."""

from __future__ import annotations

from pathlib import Path

from servers import s3
from servers.cache import installed
from servers.server import Server, answers
from servers.tools import artifact, java

_VERSION = "0.99.0"
_JAR = "ce9fa33e2878bf5ea3981876b9e6204cabc0362b3dd82326b10e47271a78c417"
_CONFIG = """\
quarkus.http.host=127.0.0.1
quarkus.http.port={port}
quarkus.management.enabled=false
quarkus.otel.sdk.disabled=true
quarkus.log.level=WARN
nessie.version.store.type=IN_MEMORY
nessie.catalog.default-warehouse=lake
nessie.catalog.warehouses.lake.location=s3://{bucket}/nessie
nessie.catalog.service.s3.default-options.region={region}
nessie.catalog.service.s3.default-options.endpoint={endpoint}
nessie.catalog.service.s3.default-options.path-style-access=true
nessie.catalog.service.s3.default-options.auth-type=STATIC
nessie.catalog.service.s3.default-options.request-signing-enabled=false
# Not below nessie.catalog.secrets: 0.99.0 stops over it.
nessie.catalog.service.s3.default-options.access-key=urn:nessie-secret:quarkus:lake-secrets.s3
lake-secrets.s3.name={name}
lake-secrets.s3.secret={secret}
"""

ready = answers("/api/v2/config")


def install() -> Path:
    """Return the folder with Nessie's jar, fetched if need be."""
    return installed(f"nessie-{_VERSION}", _fetch, "245 MB to fetch")


def prepare(folder: Path, port: int, endpoint: str) -> Server:
    """Return a server with the warehouse `lake` at the S3 `endpoint`; it forgets all when it stops."""
    config = folder / "application.properties"
    config.write_text(
        _CONFIG.format(
            port=port,
            bucket=s3.BUCKET,
            region=s3.REGION,
            endpoint=endpoint,
            name=s3.ACCESS_KEY,
            secret=s3.SECRET_KEY,
        )
    )
    jar = install() / f"nessie-quarkus-{_VERSION}-runner.jar"
    command = [str(java()), "-Xmx768m", "-XX:TieredStopAtLevel=1", f"-Dquarkus.config.locations={config}"]
    return Server("nessie", folder, port, (*command, "-jar", str(jar)))


def _fetch(folder: Path) -> None:
    artifact(f"org.projectnessie.nessie:nessie-quarkus:{_VERSION}:jar:runner", _JAR, folder)
