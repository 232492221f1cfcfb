#!/usr/bin/env bash
# What the browser tests need beyond Python: Chromium by apt, three.js and Khronos' validator by npm. What can't be had is
# said; the tests that need it are then skipped, visibly.
cd "$(dirname "$0")/.."

if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1
  fi
  command -v chromium >/dev/null || echo "no Chromium, and no right to install it: browser tests will be skipped"
fi

if [ ! -d tools/web/node_modules/gltf-validator ] || [ ! -d tools/web/node_modules/three ]; then
  command -v npm >/dev/null && (cd tools/web && npm install --no-audit --no-fund --no-package-lock --silent) >/dev/null 2>&1
  [ -d tools/web/node_modules/gltf-validator ] || echo "no npm, or no registry: tests with gltf-validator will be skipped"
fi
exit 0
