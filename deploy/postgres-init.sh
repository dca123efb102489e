#!/bin/sh
# Runs once, when the volume is empty: a database for your data, and a role that may only read it.
# The state database (kvasir) was made before by the image; the reader may not even connect to it.
set -eu

psql --set ON_ERROR_STOP=1 --set password="$READER_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE reader LOGIN PASSWORD :'password';
ALTER ROLE reader SET default_transaction_read_only = on;
CREATE DATABASE data;
REVOKE CONNECT ON DATABASE kvasir FROM PUBLIC;
REVOKE ALL ON DATABASE data FROM PUBLIC;
GRANT CONNECT ON DATABASE data TO reader;
\connect data
GRANT USAGE ON SCHEMA public TO reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
SQL
