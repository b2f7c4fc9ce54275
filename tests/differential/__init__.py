"""Generated applications and requests, answered by Flask 3.1.3 and by Demijohn, and compared.

`generate` draws an example: an application as plain data (`model`), and a sequence of `calls`. What
it is made of lies as source in `settings`, `rules`, `views`, `hooks`, `works` and `answers`.
`program` puts the source together; `side` runs it, in a process of its own for each framework
(`worker`), with what is in `kit` and by the time of `clock`. `compare` says whether outcomes are
equal but for `docs/differences.md`; `runs` does that for many examples, and `reduce` makes one
that fails smaller. `coverage` counts what was exercised; `faults` are seeded bugs that it must
find.
"""
