#!/bin/sh
# Brings the state database up to date and, where the tenant has no API key, makes one. Repeatable.
# The key is shown once, so it goes to a file that only this user can read, whole or not at all.
set -eu

key_file=${KVASIR_KEY_FILE:-/var/lib/kvasir/admin.key}

kvasir init
keys=$(kvasir key list --json)
if [ "$keys" = "[]" ]; then
    umask 077
    kvasir key create --name admin --role admin >"$key_file.new"
    mv "$key_file.new" "$key_file"
    echo "the first API key is in $key_file"
fi
