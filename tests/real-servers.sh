#!/bin/sh
# Installs the Debian servers that the tests marked `real` talk to. Does nothing when
# all are there. No daemon is started: the tests start their own, on loopback.
set -eu

PATH=$PATH:/usr/sbin:/sbin
missing=
need() { # program, Debian package
    command -v "$1" >/dev/null || missing="$missing $2"
}
need pdns_server pdns-server
test -e /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql ||
    missing="$missing pdns-backend-sqlite3"
need sqlite3 sqlite3
need sshd openssh-server
need nginx nginx-light
need dig bind9-dnsutils
need chromium chromium
need fc-list fontconfig
test -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ||
    missing="$missing fonts-dejavu-core"

if [ -z "$missing" ]; then
    echo "real-servers: all present"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "real-servers: no apt-get here; install yourself:$missing" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "real-servers: run as root: apt-get install$missing" >&2
        exit 1
    }
    as_root=sudo
fi

# Debian's packages start their daemons on every interface unless this file forbids it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi

log=$(mktemp)
# shellcheck disable=SC2086  # $missing is a list of words
install_missing() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        --no-install-recommends $missing >"$log" 2>&1
}
echo "real-servers: installing$missing"
# The package lists may be old or absent: fetch them only if the first try fails.
install_missing || {
    $as_root apt-get update -qq >"$log" 2>&1 && install_missing
} || {
    cat "$log" >&2
    exit 1
}
rm -f "$log"
echo "real-servers: installed$missing"
