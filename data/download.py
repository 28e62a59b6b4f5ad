"""Download official archives; resume interrupted downloads; check size and MD5."""

import http.client
import os
import urllib.error
import urllib.request

from tqdm import tqdm

from command import InputError
from filesystem import hash_file

TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 5
CHUNK = 1 << 18
ELSEWHERE = "or download it in another way and name its folder with --source"


def fetch(archive, folder):
    """Download an Archive into ``folder``, unless it is there; return its path.

    An interrupted download stays in a .part file, which the next call completes.

    Raises:
        InputError: it cannot be downloaded, or has the wrong size or checksum.
    """
    path = folder / archive.name
    part = folder / (archive.name + ".part")
    if path.exists():
        return path
    _download(archive, part)
    if _size(part) != archive.size or hash_file(part, "md5") != archive.md5:
        part.unlink()
        raise InputError(
            f"the file from {archive.url} had the wrong size or checksum and was deleted: run the "
            f"command again, {ELSEWHERE}"
        )
    os.replace(part, path)
    return path


def _download(archive, part):
    """Complete the file ``part``; try again as long as each attempt brings new bytes."""
    for _ in range(ATTEMPTS):
        before = _size(part)
        reason = _transfer(archive, part)
        if reason is None:
            return
        if _size(part) == before:
            break
    raise InputError(
        f"{archive.url} could not be downloaded ({reason}; {_size(part)} bytes are here): run the "
        f"command again to resume, {ELSEWHERE}"
    )


def _transfer(archive, part):
    """Append the rest of ``archive`` to ``part``; return why it failed, or None."""
    have = _size(part)
    request = urllib.request.Request(
        archive.url, headers={"Range": f"bytes={have}-"} if have else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0  # the server sends the whole file
            length = response.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else None
            _save(response, part, have, archive.size)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # no bytes are left; the checksum decides
            return None
        return f"{error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    if total is not None and _size(part) < min(total, archive.size):
        return f"the connection ended at {_size(part)} of {total} bytes"
    return None


def _save(response, part, have, total):
    """Write ``response`` into ``part`` from byte ``have`` on, and at most one byte too many."""
    with open(part, "ab" if have else "wb") as file, tqdm(
        desc=part.stem, total=total, initial=have, unit="B", unit_scale=True, disable=None
    ) as bar:
        while True:
            chunk = response.read(min(CHUNK, max(total + 1 - have, 0)))
            if not chunk:
                return
            have += file.write(chunk)
            bar.update(len(chunk))


def _size(path):
    return path.stat().st_size if path.exists() else 0
