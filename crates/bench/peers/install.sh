#!/bin/bash
# Installs what `posthaste-bench peers` compares with into a folder: install.sh FOLDER. Versions are those of the lock files
# beside it, and Debian's for nginx and Sidekiq.
set -eu -o pipefail

here=$(dirname "$(readlink -f "$0")")
mkdir -p "$1"
into=$(readlink -f "$1")

missing=
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
[ -x /usr/bin/sidekiq ] || missing="$missing ruby-sidekiq"
command -v node >/dev/null && command -v npm >/dev/null || missing="$missing nodejs npm"
command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3 python3-venv"
if [ -n "$missing" ]; then
  if ! command -v apt-get >/dev/null; then
    echo "please install what these Debian packages hold:$missing"
    exit 1
  elif [ "$(id -u)" != 0 ]; then
    echo "please type: sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing"
    exit 1
  fi
  apt-get -q update
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
  # The package starts a server of its own; here each measurement has one.
  case $missing in *nginx*) service nginx stop || true ;; esac
fi

mkdir -p "$into/bullmq" "$into/sidekiq" "$into/celery"

cp "$here"/bullmq/* "$into/bullmq/"
(cd "$into/bullmq" && npm ci --silent --no-audit --no-fund)

cp "$here"/sidekiq/* "$into/sidekiq/"

cp "$here"/celery/* "$into/celery/"
[ -x "$into/celery/venv/bin/python" ] || python3 -m venv "$into/celery/venv"
"$into/celery/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$into/celery/requirements.txt"

${CARGO:-cargo} build --quiet --release --locked --manifest-path "$here/apalis/Cargo.toml" --target-dir "$into/apalis"
