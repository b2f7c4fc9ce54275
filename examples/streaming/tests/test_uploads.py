"""Uploads: files that are whole, and nothing left of others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from demijohn import Demijohn
from demijohn.testing import FlaskClient


@pytest.fixture
def folder(settings: dict[str, Any]) -> Path:
    """Where uploads go."""
    return Path(settings["UPLOADS"])


@pytest.mark.parametrize("size", [0, 1, 700_000])
def test_an_upload(client: FlaskClient, folder: Path, size: int) -> None:
    """A file is stored as it was sent, and its digest is the answer; a second one replaces it."""
    for _ in range(2):
        data = os.urandom(size)
        answer = client.put("/files/one.bin", data=data)
        assert answer.status_code == 201
        expected = {"name": "one.bin", "bytes": size, "sha256": sha256(data).hexdigest()}
        assert answer.json == expected
        assert (folder / "one.bin").read_bytes() == data
    assert [path.name for path in folder.iterdir()] == ["one.bin"]


@pytest.mark.parametrize("name", ["..", ".hidden", "a%2F..%2Fb", "a b", "~", "a%00"])
def test_names(client: FlaskClient, folder: Path, name: str) -> None:
    """No name leads out of the folder, or hides a file in it."""
    assert client.put(f"/files/{name}", data=b"x").status_code in (400, 404)
    assert not [*folder.iterdir()]


def test_too_large(app: Demijohn, client: FlaskClient, folder: Path) -> None:
    """A file over the limit is refused, and nothing of it stays."""
    app.config["MAX_CONTENT_LENGTH"] = 1000
    assert client.put("/files/one.bin", data=b"x" * 1001).status_code == 413
    assert not [*folder.iterdir()]


def test_hashed_as_it_arrives(app: Demijohn, folder: Path) -> None:
    """Each part is taken before the next one is sent; the file has its name when it is whole."""
    client = app.async_test_client()
    seen: list[dict[str, int]] = []

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 70_000
            while True:
                answer = await app.async_test_client().get("/uploads")
                if answer.json != (seen[-1] if seen else {}):
                    break
                await asyncio.sleep(0.001)
            seen.append(answer.json)
            assert not (folder / "one.bin").exists()

    async def main() -> Any:
        async with asyncio.timeout(30):
            return await client.put("/files/one.bin", chunks=parts())

    answer = asyncio.run(main())
    assert answer.json["sha256"] == sha256(b"x" * 210_000).hexdigest()
    assert seen == [{"one.bin": 70_000}, {"one.bin": 140_000}, {"one.bin": 210_000}]
    assert (folder / "one.bin").stat().st_size == 210_000
