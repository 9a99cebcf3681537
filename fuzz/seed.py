"""Writes the replies of the decoder's corpus as first inputs of the fuzzers."""

import hashlib
import json
import pathlib

here = pathlib.Path(__file__).parent
replies = set()
for file in (here / "../dspy-decode/tests/corpus").glob("*.jsonl"):
    for line in file.read_text().splitlines():
        if line.startswith("{"):
            reply = json.loads(line).get("reply")
            if reply:
                replies.add(reply)

for target in ["decode_value", "decode_partial"]:
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, reply in enumerate(sorted(replies)):
        # Each reply with three of the schemas.
        for schema in [number % 26, (number * 7 + 3) % 26, (number * 11 + 5) % 26]:
            data = bytes([schema]) + reply.encode("utf-8", "surrogatepass")
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
