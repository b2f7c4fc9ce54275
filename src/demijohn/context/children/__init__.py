"""Children: contexts for work beside or after the code that started it.

`child` holds what they are made from, `threads`, `tasks` and `processes` one kind of work each.
They are imported one by one, since asyncio and concurrent.futures take time to load.
"""
