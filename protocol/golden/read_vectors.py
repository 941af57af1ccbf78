#!/usr/bin/env python3
"""Reads and writes the wire's golden vectors with nothing but the tables of docs/protocol.md.

A second implementation, so that the document and not the Rust code is what the bytes follow.
Usage: read_vectors.py [vectors.json]; exits with 1 and says which field of which vector differs.
"""
import json
import pathlib
import sys

# (field, bytes, kind): kind u = unsigned, i = signed, both little-endian; x = bytes as hex; 0 = zero. The bytes None
# are all that follow.
REQUEST = [("kind", 2, "u"), ("asset", 2, "u"), ("flags", 2, "u"), (None, 2, "0"), ("id", 16, "u"),
           ("reference", 16, "u"), ("amount", 16, "u"), ("player", 8, "u"), ("session", 4, "u"),
           ("game", 4, "u"), ("detail", 32, "x"), ("tag", 8, "u"), ("grant", 2, "u"), (None, 14, "0")]
REPLY = [("tag", 8, "u"), ("lsn", 8, "u"), ("player", 8, "u"), ("result", 2, "u"), ("asset", 2, "u"),
         ("flags", 2, "u"), (None, 2, "0"), ("available", 16, "i"), ("reserved", 16, "i")]
WATERMARK = [("log_id", 16, "u"), ("lsn", 8, "u"), ("chain_lsn", 8, "u"), ("chain_head", 32, "x")]
MAGIC = ("magic", 4, "u")
HELLO = [MAGIC, ("version_min", 2, "u"), ("version_max", 2, "u"), ("flags", 2, "u"), (None, 22, "0")] + WATERMARK
WELCOME = [MAGIC, ("version", 2, "u"), ("role", 1, "u"), (None, 1, "0"), ("frame_items_max", 2, "u"),
           (None, 2, "0"), ("in_flight_max", 4, "u"), ("epoch", 8, "u"), ("now", 8, "u"),
           ("id_horizon", 8, "u"), (None, 24, "0")] + WATERMARK
FRAME = [("length", 4, "u"), ("kind", 1, "u"), (None, 1, "0"), ("count", 2, "u")]
OPEN_SESSION = [("tag", 8, "u"), ("id", 16, "u"), ("grant", 2, "u"), ("token", None, "x")]
CHECKPOINT = [("magic", 4, "u"), ("version", 2, "u"), (None, 2, "0"), ("log_id", 16, "u"), ("previous_lsn", 8, "u"),
              ("lsn", 8, "u"), ("frames", 8, "u"), ("chain_head", 32, "x"), ("root", 32, "x"),
              ("digest_lsn", 8, "u"), ("digest", 32, "x"), ("time", 8, "u"), ("key", 8, "u"), (None, 24, "0"),
              ("signature", 64, "x")]
SUBSCRIBE = [("after", 8, "u"), ("player", 8, "u"), ("provider", 2, "u"), ("flags", 2, "u"), (None, 4, "0"),
             ("kinds", 32, "x"), ("credit", 8, "u")]
PROGRESS = [("position", 8, "u"), ("durable", 8, "u")]
FEED_END = [("code", 2, "u"), (None, 6, "0"), ("resume_after", 8, "u"), ("reason", 112, "x")]
QUERY = [("kind", 2, "u"), ("asset", 2, "u"), ("limit", 2, "u"), ("flags", 2, "u"), ("player", 8, "u"),
         ("provider", 2, "u"), (None, 6, "0"), ("cursor", 8, "u"), ("id", 16, "u"), (None, 16, "0")]
ROW = [("place", 8, "u"), ("player", 8, "u"), ("key", 16, "u"), ("asset", 2, "u"), (None, 2, "0"), ("game", 4, "u"),
       ("session", 4, "u"), ("open_holds", 4, "u"), ("opened_at", 8, "u"), ("until", 8, "u"), ("amount", 16, "u"),
       ("payout", 16, "u"), ("round", 16, "u"), (None, 16, "0")]
QUERY_END = [("code", 2, "u"), ("more", 1, "u"), (None, 5, "0"), ("cursor", 8, "u"), ("as_of", 8, "u"),
             ("reason", 104, "x")]
LAYOUTS = {"query": (QUERY, 64), "row": (ROW, 128), "query_end": (QUERY_END, 128), "subscribe": (SUBSCRIBE, 64), "progress": (PROGRESS, 16), "feed_end": (FEED_END, 128),
           "request": (REQUEST, 128), "reply": (REPLY, 64), "hello": (HELLO, 96), "welcome": (WELCOME, 128),
           "frame": (FRAME, 8), "open_session": (OPEN_SESSION, None),
           "checkpoint": (CHECKPOINT, 256)}
MAGICS = {"checkpoint": b"CWCP"}


def read(layout, data):
    fields, at = {}, 0
    for name, size, kind in layout:
        size = len(data) - at if size is None else size
        part, at = data[at:at + size], at + size
        if kind == "0":
            assert part == bytes(size), f"bytes {at - size}..{at} must be zero"
        elif kind == "x":
            fields[name] = part.hex()
        else:
            fields[name] = str(int.from_bytes(part, "little", signed=kind == "i"))
    return fields


def write(layout, fields):
    out = b""
    for name, size, kind in layout:
        if kind == "0":
            out += bytes(size)
        elif kind == "x":
            out += bytes.fromhex(fields[name])
        else:
            out += int(fields[name]).to_bytes(size, "little", signed=kind == "i")
    return out


def check(vector):
    layout, size = LAYOUTS[vector["kind"]]
    data = bytes.fromhex(vector["bytes"])
    head = data[:size] if vector["kind"] == "frame" else data
    assert size is None or len(head) == size, f"expected {size} bytes, found {len(head)}"
    fields = read(layout, head)
    for name, value in vector["fields"].items():
        assert fields[name] == value, f"{name} is {fields[name]}, expected {value}"
    assert write(layout, fields) == head, "written again, the bytes differ"
    if "magic" in fields:
        magic = MAGICS.get(vector["kind"], b"CAGE")
        assert int(fields["magic"]).to_bytes(4, "little") == magic, "magic"
    if vector["kind"] == "frame":
        assert len(data) == size + int(fields["length"]), "length"


def main():
    default = pathlib.Path(__file__).with_name("vectors.json")
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    vectors, failed = json.loads(path.read_text()), 0
    for vector in vectors:
        try:
            check(vector)
        except AssertionError as wrong:
            print(f"{vector['kind']} {vector['name']}: {wrong}")
            failed += 1
    print(f"{len(vectors) - failed} passed, {failed} failed")
    return 1 if failed or not vectors else 0


sys.exit(main())
