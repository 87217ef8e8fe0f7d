#!/bin/sh
# Sees to it that PostgreSQL binaries, 15 or newer, are on the machine. Creates and starts no cluster
# of the system. Does nothing if they are there; says what to run if it may not install them.
set -eu

oldest=15
conf=/etc/postgresql-common/createcluster.conf

say() { printf '%s\n' "ensure-postgres: $*" >&2; }

# Whether the directory has a server that is new enough, and initdb.
is_usable() {
  [ -x "$1/postgres" ] && [ -x "$1/initdb" ] || return 1
  major=$("$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p')
  [ -n "$major" ] && [ "$major" -ge "$oldest" ]
}

# The places that the program itself searches (cluster/src/binaries.rs).
is_installed() {
  if [ -n "${ANNALS_PG_BIN:-}" ]; then
    is_usable "$ANNALS_PG_BIN" && return 0
    say "ANNALS_PG_BIN=$ANNALS_PG_BIN has no PostgreSQL $oldest or newer: correct it or unset it"
    exit 1
  fi
  on_path=$(command -v postgres 2>/dev/null || true)
  if [ -n "$on_path" ] && is_usable "$(dirname "$on_path")"; then return 0; fi
  for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
    /usr/local/opt/postgresql@*/bin /home/linuxbrew/.linuxbrew/opt/postgresql@*/bin; do
    if is_usable "$dir"; then return 0; fi
  done
  return 1
}

# The newest server that the package lists offer, as a package's name.
newest_package() {
  apt-cache search --names-only '^postgresql-[0-9]+$' |
    sed -n 's/^postgresql-\([0-9]*\) .*/\1/p' | sort -rn |
    while read -r major; do
      if [ "$major" -ge "$oldest" ]; then
        echo "postgresql-$major"
        break
      fi
    done
}

# Runs as root, directly or by a sudo that asks no question.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_be_root() {
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; }
}

install_with_apt() {
  if ! may_be_root; then
    say "PostgreSQL $oldest or newer is missing and installing it needs root. Run this, then try again:"
    printf '\n    sudo sh scripts/ensure-postgres.sh\n\n' >&2
    exit 1
  fi
  as_root apt-get update -q
  package=$(newest_package)
  if [ -z "$package" ]; then
    say "this system offers no PostgreSQL $oldest or newer; see https://www.postgresql.org/download/linux/"
    exit 1
  fi
  say "installing $package; no cluster of the system is created or started"
  # Read by the package when it is configured. Afterwards the machine has its own file again: the
  # one it had, or else the package's, which was laid aside.
  as_root mkdir -p "$(dirname "$conf")"
  if [ -e "$conf" ]; then
    as_root cp -p "$conf" "$conf.annals-saved"
    restore='as_root mv "$conf.annals-saved" "$conf"'
  else
    restore='[ ! -e "$conf.ucf-dist" ] || as_root mv "$conf.ucf-dist" "$conf"'
  fi
  trap "$restore" EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  printf '%s\n' 'create_main_cluster = false' | as_root tee "$conf" >/dev/null
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    -o Dpkg::Options::=--force-confold "$package"
}

install_with_brew() {
  say "installing postgresql@17; no service is started"
  brew install postgresql@17
}

if is_installed; then exit 0; fi
if command -v brew >/dev/null 2>&1 && [ "$(id -u)" != 0 ]; then
  install_with_brew
elif command -v apt-get >/dev/null 2>&1; then
  install_with_apt
else
  say "PostgreSQL $oldest or newer is missing. Install its server package (Fedora: dnf install postgresql-server;"
  say "Mac: brew install postgresql@17), or set DATABASE_URL to use a server of yours."
  exit 1
fi
if ! is_installed; then
  say "the installation ended well, but no PostgreSQL $oldest or newer is found; set ANNALS_PG_BIN to its directory"
  exit 1
fi
