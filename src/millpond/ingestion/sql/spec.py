"""What may be declared of a database: its address, and which of its tables is read."""

from __future__ import annotations

from pydantic import Field, field_validator

from millpond.ingestion.part import Part
from millpond.ingestion.rest.placeholders import Template


class Database(Part):
    """A database, by its SQLAlchemy address; account and password come from the environment."""

    url: Template = Field(
        "{url}",
        description="SQLAlchemy address; MILLPOND_<SOURCE>_USER and …_TOKEN are its account and password",
        examples=['url: "{url}"', "url: postgresql+psycopg://db.example.org/shop"],
    )

    @field_validator("url")
    @classmethod
    def _has_no_password(cls, url: str) -> str:
        account, at, _ = url.partition("://")[2].rpartition("@")
        if at and ":" in account:
            raise ValueError(
                "must not hold a password: set MILLPOND_<SOURCE>_TOKEN in the environment;"
                " for example url: postgresql+psycopg://db.example.org/shop"
            )
        return url


class SqlTable(Part):
    """A table or view of the database."""

    table: str | None = Field(
        None,
        min_length=1,
        description="its name, with the schema before a dot; default: the name of the raw table",
        examples=["table: sales.orders"],
    )
    chunk_rows: int = Field(
        100_000, gt=0, description="rows that are fetched at a time", examples=["chunk_rows: 50000"]
    )
