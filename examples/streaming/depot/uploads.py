"""Files that are sent to the depot, hashed and written as they arrive."""

from __future__ import annotations

import asyncio
import os
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from demijohn import Blueprint, abort, current_app, request
from werkzeug.utils import secure_filename

bp = Blueprint("uploads", __name__)


def under_way() -> dict[str, int]:
    """The uploads that go on in this process: name -> bytes that have arrived."""
    found: dict[str, int] = current_app.extensions.setdefault("uploads", {})
    return found


@bp.put("/files/<name>", stream_body=True)
async def put(name: str) -> tuple[dict[str, Any], int]:
    """Take a file, however large: one part of it is in memory at a time.

    A file of that name is replaced when all of the new one is there. 413 when it is larger than
    `MAX_CONTENT_LENGTH`; a client that leaves in the middle leaves nothing behind.
    """
    if name != secure_filename(name):
        abort(400, "Letters, digits, dots, hyphens and underscores make a file's name.")
    folder = Path(current_app.config["UPLOADS"])
    digest = sha256()
    size = 0
    uploads = under_way()
    file = NamedTemporaryFile(dir=folder, prefix=".part-", delete=False)  # noqa: SIM115
    try:
        with file:
            async for part in request.body_stream:
                digest.update(part)
                # A disk may be slow: other requests go on meanwhile.
                await asyncio.to_thread(file.write, part)
                size += len(part)
                uploads[name] = size
        os.replace(file.name, folder / name)
    except BaseException:
        os.unlink(file.name)
        raise
    finally:
        uploads.pop(name, None)
    return {"name": name, "bytes": size, "sha256": digest.hexdigest()}, 201


@bp.get("/uploads")
async def uploads() -> dict[str, int]:
    """What is under way."""
    return under_way()
