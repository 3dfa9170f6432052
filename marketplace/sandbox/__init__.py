"""Where foreign code runs: a bubblewrap sandbox with one way in and one way out.

What runs inside sees a read-only interpreter, the few packages it needs, a private `/tmp`, and nothing of this machine: no network, no
process but its own, no environment, no inherited files. Its work comes in through a sealed memory file on standard input and its result
leaves through one pipe whose bytes are counted; no path of the host can be written. Where there is no sandbox, nothing is run at all.
"""
