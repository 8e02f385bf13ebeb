#!/bin/sh
# Run once by PostgreSQL's image, on an empty data folder: a role for each, and what it owns.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" \
  -v owner="$DB_OWNER_PASSWORD" -v app="$DB_APP_PASSWORD" -v temporal="$DB_TEMPORAL_PASSWORD" <<'SQL'
create role mpanel_owner login nosuperuser nobypassrls password :'owner';
create role mpanel_app login nosuperuser nobypassrls password :'app';
create role temporal login nosuperuser nobypassrls password :'temporal';
create database mpanel owner mpanel_owner;
create database temporal owner temporal;
create database temporal_visibility owner temporal;
SQL
