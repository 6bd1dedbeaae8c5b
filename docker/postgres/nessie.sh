#!/bin/bash
# Run once, when Postgres makes its data folder: Nessie's own role and database. Millpond's are made by `provision`.
psql --set=ON_ERROR_STOP=1 --set=password="$(cat /run/secrets/nessie_postgres_password)" --username=postgres <<'SQL'
CREATE ROLE nessie LOGIN PASSWORD :'password';
CREATE DATABASE nessie OWNER nessie;
REVOKE ALL ON DATABASE nessie FROM PUBLIC;
SQL
