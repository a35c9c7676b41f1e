#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints what bench/run has written, as tables in reStructuredText.

Usage: bench/report.py FILE...

A number is a median, with the least and the most behind it; "x" is its ratio to the
first peer's, or where there is one peer to the first line's; a ratio of times that is nearer
to 1 than 30 % is called a tie.
"""

import json
import statistics
import sys

from rows import ROWS, Sample


def values_of(column, samples, parameters):
    """One number for each round; none where the peer has no such thing."""
    for sample in samples:
        if isinstance(column, Sample):
            if column.metric not in sample:
                return
            yield sample[column.metric] / column.divisor
        else:
            yield ((sample[column.phase][column.kind] - sample[column.before][column.kind])
                   / parameters[column.number])


def number(value):
    """Three digits, or all that are before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


TIE = 1.3


def cell(values, reference, ties):
    values = sorted(values)
    median = statistics.median(values)
    text = number(median)
    if len(values) > 1:
        text += f" ({number(values[0])}-{number(values[-1])})"
    if reference and reference > 0:
        ratio = median / reference
        text += f" x{ratio:.2f}"
        if ties and 1 / TIE < ratio < TIE:
            text += " tie"
    return text


def table(heading, lines):
    widths = [max(len(line[i]) for line in [heading, *lines]) for i in range(len(heading))]
    rule = "  ".join("=" * width for width in widths)

    def row(cells):
        return "  ".join(c.ljust(w) for c, w in zip(cells, widths)).rstrip()

    return "\n".join([rule, row(heading), rule, *map(row, lines), rule])


def report_row(row, data, unit):
    columns = [c for c in row.columns if unit == "ns" or isinstance(c, Sample)]
    first = {}
    lines = []
    for peer, samples in data["peers"].items():
        which = peer.partition(", ")[2] if len(row.peers) > 1 else ""
        line = [peer]
        for column in columns:
            values = list(values_of(column, samples, data["parameters"]))
            if not values:
                line.append("")
                continue
            timed = isinstance(column, Sample)
            reference = first.get((column, which))
            line.append(cell(values, reference, timed and unit == "ns"))
            if not timed or column.compared:
                first.setdefault((column, which), statistics.median(values))
        lines.append(line)
    titles = [c.title for c in columns]
    if unit == "instructions":
        titles = [t.replace(", us", ", 1,000 instr.").replace("ns a", "instr. a") for t in titles]
        titles = ["instructions" if t == "ns" else t for t in titles]
    return table(["\\"] + titles, lines)


def report(path):
    with open(path, encoding="ascii") as file:
        data = json.load(file)
    env = data["environment"]
    print(f"Linux {env['kernel']}, {env['cpus']} CPUs ({env['cpu']}), "
          f"{env['memory_bytes'] >> 20} MiB; {data['unit']}\n")
    print(", ".join(f"{name} {version}" for name, version in env["versions"].items()) + "\n")
    for row in ROWS:
        if row.name not in data["rows"]:
            continue
        print(f"{row.title} (``{row.name}``)\n")
        print(report_row(row, data["rows"][row.name], data["unit"]) + "\n")


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        report(path)


if __name__ == "__main__":
    main()
