"""Live contexts of a development server with debug on: as records, as text, as a page.

Not here: the contexts themselves (context, framework), and who may see the page (serve).
"""
