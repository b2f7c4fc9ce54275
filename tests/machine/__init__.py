"""A state machine over contexts: random programs of pushes, pops, requests and streams.

`rules` are the moves, `model` says what each must do, `system` drives a framework's contexts,
`places` are the threads and Contexts that moves run in, `faults` are seeded bugs that it must find.
"""
