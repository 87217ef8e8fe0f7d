#!/bin/sh
# Installs the cargo tools that CI needs into target/tools, each in exactly one version; does nothing
# where it is there already. Usage: ensure-tools.sh [sqlx] [deny], default both.
set -eu
cd "$(dirname "$0")/.."

# The one that belongs to the library's version (Cargo.toml): the offline data's format goes with it.
sqlx_version=0.8.6
deny_version=0.20.2

tools=$PWD/target/tools
PATH=$tools/bin:$PATH

# install COMMAND CRATE VERSION OPTIONS…
install() {
  command=$1 crate=$2 version=$3
  shift 3
  if "$command" --version 2>/dev/null | grep -q "[^0-9.]$version\$"; then return 0; fi
  echo "ensure-tools: building $crate $version into target/tools" >&2
  # Unoptimised: they run for seconds, and build in a third of the time. One target directory, so
  # that they share what they have in common. The environment's own DATABASE_URL and flags are for
  # Annals, not for them.
  env -u RUSTFLAGS -u DATABASE_URL CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$tools/build" \
    cargo install --quiet --debug --locked --force --root "$tools" "$crate" --version "=$version" "$@"
}

[ $# -gt 0 ] || set -- sqlx deny
for tool in "$@"; do
  case $tool in
    sqlx) install sqlx sqlx-cli "$sqlx_version" --no-default-features --features postgres,rustls ;;
    deny) install cargo-deny cargo-deny "$deny_version" ;;
    *)
      echo "usage: ensure-tools.sh [sqlx] [deny]" >&2
      exit 2
      ;;
  esac
done
