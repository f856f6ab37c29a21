#!/usr/bin/env bash
# build.sh [FOLDER] writes dagre.min.js, dagre.LICENSE.txt and SHA256SUMS to FOLDER (this one, if none is given).
#
# dagre lays out the drawings of pages. npm downloads the version that package-lock.json pins, and its dependency graphlib,
# and compares both with the hashes there. The minified build that dagre publishes holds both; it gets their licence as
# its first lines, so that every page that embeds the file embeds the licence too. To take another version: change it in
# package.json, run `npm install --package-lock-only --omit-lockfile-registry-resolved`, then this script.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$here/package.json" "$here/package-lock.json" "$folder"
cd "$folder"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
dagre=node_modules/@dagrejs/dagre graphlib=node_modules/@dagrejs/graphlib
cmp "$dagre/LICENSE" "$graphlib/LICENSE" >&2  # one licence stands for both
version() { node -p "require('./$1/package.json').version"; }
{
  echo "/*! @license dagre $(version "$dagre") with graphlib $(version "$graphlib"), minified. MIT licence:"
  echo
  cat "$dagre/LICENSE"
  echo "*/"
  sed -e '/^\/\*! For license information/d' -e '/^\/\/# sourceMappingURL=/d' "$dagre/dist/dagre.min.js"
} > dagre.min.js
cp "$dagre/LICENSE" dagre.LICENSE.txt
if grep -qi '</script' dagre.min.js; then echo "dagre.min.js cannot stand in a page: it holds </script" >&2; exit 1; fi
sha256sum dagre.min.js dagre.LICENSE.txt > SHA256SUMS
cp dagre.min.js dagre.LICENSE.txt SHA256SUMS "$out"
