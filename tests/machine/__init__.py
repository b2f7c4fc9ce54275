"""A state machine over contexts: random programs of pushes, pops, requests and streams.

`rules` chooses the moves and `base` carries them out, `model` says what each must do, `edge` makes
requests and bodies, `system` has a framework's applications, `places` are the threads and Contexts
that moves run in, `faults` are seeded bugs that the machine must find.
"""
