#!/bin/sh
# Writes the offline data of sqlx's checked queries (.sqlx), or with --check says whether they are
# right: against a throw-away database that has every migration.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
  '' | --check) ;;
  *)
    echo "usage: prepare.sh [--check]" >&2
    exit 2
    ;;
esac

# Started anew inside with_postgres, which sets the variable.
if [ -z "${PREPARE_INSIDE:-}" ]; then
  sh scripts/ensure-postgres.sh
  sh scripts/ensure-tools.sh sqlx
  export PREPARE_INSIDE=1
  exec cargo run -q -p cluster --bin with_postgres -- sh scripts/prepare.sh "$@"
fi

# The client comes with the server's package, but not everywhere onto the PATH.
find_psql() {
  for psql in "${ANNALS_PG_BIN:-}/psql" "$(command -v psql || true)" /usr/lib/postgresql/*/bin/psql \
    /opt/homebrew/opt/postgresql@*/bin/psql /usr/local/opt/postgresql@*/bin/psql; do
    if [ -x "$psql" ]; then return 0; fi
  done
  echo "prepare: psql was not found; name its directory in ANNALS_PG_BIN" >&2
  exit 1
}

PATH=$PWD/target/tools/bin:$PATH
# The path of the URL is the database: everything between the host and the options.
DATABASE_URL=$(printf '%s' "$TEST_DATABASE_URL" | sed 's,/postgres?,/annals_prepare?,')
export DATABASE_URL
cargo sqlx database create

# The program wants a key for a server that is named; this one lives as long as the database.
ANNALS_MASTER_KEY_FILE=$(mktemp)
export ANNALS_MASTER_KEY_FILE
trap 'rm -f "$ANNALS_MASTER_KEY_FILE"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' > "$ANNALS_MASTER_KEY_FILE"

# Built from the offline data, because the database is still empty. Where a query is new they lack
# it, and the program cannot be built until they are written: then the files are applied as they are,
# by the superuser, which is all that the shape of a query needs.
if ! SQLX_OFFLINE=true cargo run -q -p api -- migrate; then
  if [ "${1:-}" = --check ]; then
    echo "prepare: the program does not migrate; if a query was changed, run \`make prepare\` and commit .sqlx" >&2
    exit 1
  fi
  echo "prepare: the program cannot be built yet; applying migrations/ directly" >&2
  find_psql
  for roles in migrations/roles/*.sql; do "$psql" -q -v ON_ERROR_STOP=1 -f "$roles" "$DATABASE_URL"; done
  cargo sqlx migrate run --source migrations
fi

cargo sqlx prepare --workspace "$@" -- --all-targets
