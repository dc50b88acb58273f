#!/usr/bin/env bash
# Installs what a build (`need.sh build`), the tests (`need.sh test`) or the benchmark (`need.sh bench`) need
# and this machine lacks. Debian and Ubuntu by apt; elsewhere it says what is missing.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }

packages=()
need() { have "$1" || packages+=("$2"); }

have cargo || { echo "Install a Rust toolchain first: https://rustup.rs" >&2; exit 1; }
need cc gcc
need clang clang
if [ "${1:-build}" != build ]; then
  need curl curl
  need git git
  need nm binutils
  need setpriv util-linux
  need node nodejs
  need npm npm
  need "${FAZT_CHROMIUM:-chromium}" chromium
  need pebble pebble
fi
if [ "${1:-build}" = bench ]; then
  need wrk wrk
  need nginx nginx-light
fi

if [ ${#packages[@]} -gt 0 ]; then
  if have apt-get && { [ "$(id -u)" = 0 ] || have sudo; }; then
    sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing: ${packages[*]}"
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "${packages[@]}" >/dev/null 2>&1 \
      || { $sudo apt-get update -qq; DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "${packages[@]}" >/dev/null; }
  else
    echo "Please have root install: ${packages[*]}" >&2
    exit 1
  fi
fi

if [ "${1:-build}" = test ]; then
  have cargo-nextest || cargo install --locked --quiet cargo-nextest
  have cargo-deny || cargo install --locked --quiet cargo-deny
  rustup component add clippy rustfmt >/dev/null 2>&1 || true
fi
