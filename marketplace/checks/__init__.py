"""What a bundle must pass before it is sold: unpacked, declared, parsed, judged, linted, replayed, compared, signed. Begin reading at `pipeline.py`."""
