#!/usr/bin/env bash
# Starts a private server and a queue, and runs schemathesis on every operation of the served description.
# Arguments are passed to schemathesis.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
posthaste=$target/debug/posthaste
tool=$target/schemathesis
[ -x "$tool/bin/schemathesis" ] || {
  python3 -m venv "$tool"
  "$tool/bin/pip" --quiet install --disable-pip-version-check "schemathesis==4.32.5"
}
work=$(mktemp -d)
children=()
end() {
  for child in "${children[@]}"; do kill "$child" 2>/dev/null && wait "$child" 2>/dev/null || true; done
  rm -rf "$work"
}
trap end EXIT
port=$("$tool/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --dir "$work" --save "" --appendonly yes --appendfsync always \
  --maxmemory 1gb --maxmemory-policy noeviction > "$work/redis.log" 2>&1 &
children+=($!)
export POSTHASTE_REDIS__URL=redis://127.0.0.1:$port
created=
for _ in $(seq 100); do
  created=$("$posthaste" key create --direct --redis "$POSTHASTE_REDIS__URL" --name schemathesis \
    --scope write,read,admin,any_sender 2>"$work/key.log") && break
  sleep 0.2
done
key=$(grep -o 'ph_[A-Za-z0-9_-]*' <<< "$created" | head -1) || { cat "$work/key.log" "$work/redis.log"; exit 1; }
# Raise the rate limit of keys: it is not under test here, and would answer 429 to most requests.
POSTHASTE_HTTP__ADDRESS=127.0.0.1:0 POSTHASTE_ADMIN__ADDRESS=127.0.0.1:0 POSTHASTE_RATE__PER_SECOND=100000 \
  POSTHASTE_RATE__BURST=100000 "$posthaste" queue --ready-file "$work/ready.json" > "$work/queue.log" 2>&1 &
children+=($!)
for _ in $(seq 200); do [ -s "$work/ready.json" ] && break; sleep 0.1; done
url=$("$tool/bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["http"])' "$work/ready.json") \
  || { cat "$work/queue.log"; exit 1; }
# Files it writes are removed with the folder.
cd "$work"
id=${key#ph_}
POSTHASTE_OWN_KEY=${id%%_*} PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=hooks \
  "$tool/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$url/openapi.json" \
  --header "Authorization: Bearer $key" --request-timeout 60 --generation-database none "$@" || {
  status=$?
  tail -50 "$work/queue.log"
  exit $status
}
# After all requests, the service must still run and must not have panicked.
kill -0 "${children[1]}"
! grep -i panic "$work/queue.log"
