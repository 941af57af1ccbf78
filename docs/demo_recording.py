#!/usr/bin/env python3
"""A recording of a command in a terminal, as a picture for the readme: each line comes when the command wrote it.

    python3 docs/demo_recording.py docs/demo.svg target/release/cage demo --for 6s

Runs the command, and writes an SVG that plays once. Whoever cannot play it sees all lines at once.
"""

import html
import re
import subprocess
import sys
import time

LINE_PIXELS = 17
CHARACTER_PIXELS = 7.3
MARGIN_PIXELS = 14
# What a reader should see first.
COLOURS = [("KILL", "#ff7b72"), ("difference 0", "#7ee787"), ("AUDIT  clean", "#7ee787"), ("incomplete", "#d29922")]


def record(command):
    """The lines that the command writes, each with the seconds since it began."""
    begin = time.monotonic()
    lines = [(0.0, "$ " + " ".join(command).replace("target/release/", ""))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        lines.append((time.monotonic() - begin, line.rstrip("\n")))
    if process.wait() != 0:
        sys.exit(f"the command failed with {process.returncode}: {lines[-1][1]}")
    return lines


def spans(line):
    """The line as SVG text, with what counts in colour."""
    text = html.escape(line, quote=False)
    for word, colour in COLOURS:
        text = re.sub(r"(?<![A-Z])" + re.escape(word), f'<tspan fill="{colour}">{word}</tspan>', text)
    return text


def picture(lines):
    width = int(max(len(line) for _, line in lines) * CHARACTER_PIXELS) + 2 * MARGIN_PIXELS
    height = len(lines) * LINE_PIXELS + 2 * MARGIN_PIXELS
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    yield "<style>text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#c9d1d9;white-space:pre}"
    yield "@keyframes come{from{opacity:0}to{opacity:1}}text{animation:come 1ms linear both}"
    yield "@media(prefers-reduced-motion:reduce){text{animation:none}}</style>"
    yield f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>'
    for place, (seconds, line) in enumerate(lines):
        y = MARGIN_PIXELS + place * LINE_PIXELS + 12
        yield f'<text xml:space="preserve" x="{MARGIN_PIXELS}" y="{y}" style="animation-delay:{seconds:.1f}s">{spans(line)}</text>'
    yield "</svg>"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    svg = "\n".join(picture(record(sys.argv[2:]))) + "\n"
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(svg)
