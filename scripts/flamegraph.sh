#!/bin/sh
# flamegraph.sh OUT.svg TITLE COMMAND…: runs a command, samples all that happens on the machine meanwhile, and draws where
# the time of the program and of PostgreSQL went. Wants Linux, perf, and who may sample other processes (root).
set -eu

[ $# -ge 3 ] || { echo "usage: flamegraph.sh OUT.svg TITLE COMMAND…" >&2; exit 2; }
out=$1 title=$2
shift 2
tools=$(cd "$(dirname "$0")/.." && pwd)/target/tools
command -v perf >/dev/null || { echo "flamegraph: perf is missing (Debian: apt-get install linux-perf)" >&2; exit 1; }
[ -x "$tools/bin/inferno-flamegraph" ] || cargo install -q --locked --root "$tools" --version 0.12.4 inferno
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT

perf record -q -a -F 299 --call-graph dwarf,8192 -o "$data/samples" -- "$@"
# What else runs on the machine is not shown; kernel workers are.
perf script -i "$data/samples" --no-inline 2>/dev/null | "$tools/bin/inferno-collapse-perf" --all |
  sed 's/^tokio-rt-worker/bench/; s/^tokio-runtime-w/bench/' | grep -E '^(bench|annals|load|postgres)[;-]' > "$data/folded"
# A still picture: no script of others in it, so the labels that one would write are written here, as long as there is room.
"$tools/bin/inferno-flamegraph" --title "$title" --minwidth 0.4 --hash "$data/folded" | perl -0pe '
  s{<script.*?</script>}{}s; s{ onload="[^"]*"}{}; s{<text id="(?:details|unzoom|search|matched)".*?</text>}{}g;
  s{(<g><title>)([^<]*)( \([\d,]+ samples, [\d.]+%\)</title><rect [^>]*?width="([\d.]+)%".*?/><text [^>]*>)[^<]*(</text></g>)}{
    my ($name, $room) = ($2, int($4 * 11.8 / 7.3)); my ($head, $whole, $tail) = ($1, $3, $5); my $label = $name;
    $label =~ s/&lt;/</g; $label =~ s/&gt;/>/g; $label =~ s/&quot;/"/g; $label =~ s/&amp;/&/g;
    $label = $room < 4 ? "" : length $label > $room ? substr($label, 0, $room - 2) . ".." : $label;
    $label =~ s/&/&amp;/g; $label =~ s/</&lt;/g; $label =~ s/>/&gt;/g; "$head$name$whole$label$tail"
  }ges' > "$out"
echo "flamegraph: $out" >&2
