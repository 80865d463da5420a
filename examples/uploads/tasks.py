"""What is done with an upload: a checksum, and thumbnails if it is a picture."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from PIL import Image, UnidentifiedImageError

from sidework import Sidework, emit, track

FILES = Path(__file__).with_name("files")
WIDTHS = (128, 512, 1024)
BLOCK = 1 << 20

jobs = Sidework()


@dataclass
class Made:
    sha256: str
    thumbnails: list[str] = field(default_factory=list)


@jobs.task(queue="uploads", retries=3)
def work_on(upload: UUID) -> Made:
    """A step that is done is not done again by the next attempt: what it made is on the disk."""
    original, checksum = FILES / str(upload) / "original", FILES / str(upload) / "sha256"
    if not checksum.exists():
        keep(checksum, sha256(original).encode())
    made = Made(checksum.read_text())
    emit(made)
    try:
        for width in track(WIDTHS, note="thumbnails"):
            picture = original.with_name(f"{width}.jpg")
            if not picture.exists():
                keep(picture, thumbnail(original, width))
            made.thumbnails.append(picture.name)
            emit(made)
    except UnidentifiedImageError:
        pass  # any file has a checksum, only a picture has thumbnails
    return made


def sha256(file: Path) -> str:
    digest = hashlib.sha256()
    for block in track(blocks(file), -(-file.stat().st_size // BLOCK), note="checksum"):
        digest.update(block)
    return digest.hexdigest()


def blocks(file: Path) -> Iterator[bytes]:
    with open(file, "rb") as source:
        while block := source.read(BLOCK):
            yield block


def thumbnail(original: Path, width: int) -> bytes:
    made = io.BytesIO()
    with Image.open(original) as image:
        image.thumbnail((width, width))
        image.convert("RGB").save(made, "JPEG")
    return made.getvalue()


def keep(file: Path, content: bytes) -> None:
    """Whole or not at all, whatever is killed meanwhile."""
    part = file.with_suffix(".part")
    part.write_bytes(content)
    part.replace(file)
