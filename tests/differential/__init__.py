"""Generated applications and requests, answered by Flask 3.1.3 and by Demijohn, and compared.

`generate` draws an example: an application as plain data, and a sequence of calls. `program` turns
it into the source of an application, which `side` runs in a process of its own (`worker`), one a
framework; `compare` says whether the outcomes are equal but for `docs/differences.md`, `coverage`
counts what the examples exercised, `faults` are seeded bugs that the comparison must find.
"""
