#!/bin/sh
# Fetches the GraphiQL page's libraries again into api/assets/graphiql, at the versions below.
# Needs npm and the registry npm is configured with. Run it, look at `git diff`, update README.md there.
set -eu

GRAPHIQL=3.9.0   # the last line with a bundle that needs no build step
REACT=18.3.1     # the last React with browser bundles
GRAPHQL=16.11.0  # peer of graphiql; bundled inside graphiql.min.js, fetched here for its licence only

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
out="$here/api/assets/graphiql"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

cd "$work"
printf '{"name":"vendor","version":"1.0.0","private":true}\n' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact \
    "graphiql@$GRAPHIQL" "react@$REACT" "react-dom@$REACT" "graphql@$GRAPHQL"

mkdir -p "$out"
cp node_modules/graphiql/graphiql.min.js node_modules/graphiql/graphiql.min.css "$out/"
cp node_modules/react/umd/react.production.min.js "$out/"
cp node_modules/react-dom/umd/react-dom.production.min.js "$out/"
cp node_modules/graphiql/LICENSE "$out/LICENSE.graphiql"
cp node_modules/react/LICENSE "$out/LICENSE.react"
cp node_modules/react-dom/LICENSE "$out/LICENSE.react-dom"
# The source maps are not served.
for file in "$out"/*.js; do
    sed '/^\/\/# sourceMappingURL=/d' "$file" > "$work/stripped" && cat "$work/stripped" > "$file"
done

# graphiql.min.js has its own dependencies inside it, so their licences travel with it.
find node_modules -name package.json -path '*node_modules/*' | LC_ALL=C sort | while read -r manifest; do
    dir=$(dirname "$manifest")
    case "$(dirname "$dir")" in
        */node_modules | node_modules | */node_modules/@* | node_modules/@*) ;;
        *) continue ;;
    esac
    name=$(sed -n 's/^  "name": "\(.*\)",*$/\1/p' "$manifest" | head -n 1)
    version=$(sed -n 's/^  "version": "\(.*\)",*$/\1/p' "$manifest" | head -n 1)
    licence=$(find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' \) | LC_ALL=C sort | head -n 1)
    [ -n "$name" ] || continue
    case "$name" in @types/* | typescript) continue ;; esac
    printf '===== %s %s =====\n' "$name" "$version"
    if [ -n "$licence" ]; then
        cat "$licence"
    else
        sed -n 's/^  "license": "\(.*\)",*$/License: \1/p' "$manifest"
    fi
    printf '\n'
done | tr -d '\r' > "$out/LICENSES.bundled.txt"

ls -l "$out"
