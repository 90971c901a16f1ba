#!/bin/sh
# Makes sure that initdb and postgres are on this machine, for the tests of
# internal/store/pgtest, which start a server of their own. Installs Debian's
# package if they are missing, without the cluster that it would start.
# Safe to run again. Prints one line about what it did; on failure, also why.
set -eu

# find_binaries prints the directory that the tests would use: the one of
# initdb on PATH, else one of Debian's.
find_binaries() {
    on_path=$(command -v initdb) && on_path=$(dirname "$(readlink -f "$on_path")")
    for dir in "$on_path" /usr/lib/postgresql/*/bin; do
        if [ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
            echo "$dir"
            return 0
        fi
    done
    return 1
}

# quietly runs a command and shows its output only if it fails.
quietly() {
    if ! output=$("$@" 2>&1); then
        printf '%s\n' "$output" >&2
        echo "postgres: failed: $*" >&2
        exit 1
    fi
}

if dir=$(find_binaries); then
    echo "postgres: found $("$dir/postgres" --version) in $dir"
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "postgres: not found, and there is no apt-get to install it; install PostgreSQL, or set HANDOFF_TEST_POSTGRES_URL" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
fi

# Unless told otherwise, the package makes and starts a cluster "main".
settings=/etc/postgresql-common/createcluster.d
quietly $as_root mkdir -p "$settings"
quietly $as_root sh -c "echo 'create_main_cluster = false' >$settings/no-main-cluster.conf"
quietly $as_root apt-get update
quietly $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql

if ! dir=$(find_binaries); then
    echo "postgres: apt-get installed the package, but there is no initdb in /usr/lib/postgresql/*/bin" >&2
    exit 1
fi
echo "postgres: installed $("$dir/postgres" --version) in $dir"
