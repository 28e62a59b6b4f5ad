"""Lock, map, flush and rename files, also on file systems that do not support all of this.

Lustre, NFS, FUSE and the shared folders of virtual machines lack some of these functions. One line
on stderr says so.
"""

import contextlib
import errno
import functools
import hashlib
import mmap
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from command import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_ATTEMPTS = 3
# Errors of a system call that a file system does not support.
LACKING = {
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EINVAL,
    errno.ENODEV,
    errno.ENOLCK,
    errno.EXDEV,
}


class InUse(InputError):
    """Another process holds the lock file."""


def project_folder():
    """Return the folder that has ``data/``: the checkout, otherwise the current folder.

    The latter is for an installation with ``pip install .``, whose modules are in site-packages.
    """
    here = Path(__file__).resolve().parent
    return here if (here / "setup.py").is_file() else Path.cwd()


def is_path(name):
    """Return whether ``name`` is a path, which could lead out of a folder, and not a plain name."""
    return os.path.basename(name) != name or name in ("", ".", "..")


@contextlib.contextmanager
def new_folder(path):
    """Make the folder ``path``; after an exception, remove the new folders that are empty."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: name a folder")
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


@functools.lru_cache(maxsize=None)
def _say(path, lack):
    sys.stderr.write(f"note: the file system of {path} has no {lack}\n")


def _lacks(error, path, lack):
    """Print that the file system of ``path`` lacks a function, if ``error`` means it, or raise."""
    if error.errno not in LACKING:
        raise error
    _say(str(path), lack)


@contextlib.contextmanager
def locked(path, what, wait=False, remove=False):
    """Hold the lock file ``path`` for this process; the system releases it when the process ends.

    Args:
        what: name of the locked thing, for the message.
        wait: whether to wait until another process releases it.
        remove: whether to remove the lock file afterwards.

    Raises:
        InUse: another process holds it.
    """
    path = Path(path)
    while True:
        with open(path, "a") as file:
            _acquire(file, path, what, wait)
            if not _is_there(file, path):  # the previous holder has removed it
                continue
            try:
                yield
            finally:
                if remove:
                    path.unlink()
            return


def is_locked(path):
    """Return whether a process holds the lock file ``path``."""
    try:
        with open(path) as file:
            _flock(file, shared=True)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _flock(file, shared=False, wait=False):
    if fcntl is None:
        raise OSError(errno.ENOSYS, "no locks")
    flags = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    fcntl.flock(file, flags)


def _acquire(file, path, what, wait):
    for attempt in range(LOCK_ATTEMPTS):
        try:
            return _flock(file, wait=wait)
        except BlockingIOError:
            if attempt == LOCK_ATTEMPTS - 1:
                raise InUse(f"{what} is in use by another process") from None
            time.sleep(0.1)  # ``is_locked`` holds it for a moment
        except OSError as error:
            return _lacks(
                error, path.parent, "locks: two processes that write there at once will not notice"
            )


def _is_there(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def hash_file(path, algorithm="sha256"):
    """Return a checksum of the file ``path``, in hexadecimal digits; see hashlib.new."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def mapped(file):
    """Yield the bytes of an open file, mapped to memory; otherwise mapped privately, or read."""
    for access in (mmap.ACCESS_READ, mmap.ACCESS_COPY):
        try:
            data = mmap.mmap(file.fileno(), 0, access=access)
        except OSError as error:
            if error.errno not in LACKING:
                raise
        else:
            with data:
                yield data
            return
    _say(os.path.dirname(file.name), "memory maps: files are read whole")
    yield file.read()


def sync(file):
    """Flush an open file, or the file or folder at a path, to the disk."""
    try:
        if not isinstance(file, (str, os.PathLike)):
            os.fsync(file.fileno())
            return
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        path = getattr(file, "name", file)
        _lacks(error, os.path.dirname(path), "flushing: a crash of the machine may lose files")


@contextlib.contextmanager
def named_errors(path):
    """Add ``path`` to errors of the system that do not name a file, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def whole_file(path):
    """Yield a binary file to write; then flush it to the disk and rename it to ``path``.

    If the block raises an exception, ``path`` stays as it is.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with named_errors(path), open(aside, "wb") as file:
            yield file
            file.flush()
            sync(file)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path, data):
    """Write ``data`` into the file ``path``: completely or not at all."""
    with whole_file(path) as file:
        file.write(data)


def write_text(path, text):
    """Write ``text`` as UTF-8 into the file ``path``, as ``write_bytes`` does.

    Bytes of paths that are not UTF-8, which Python reads as surrogates, are written unchanged.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def rename_folder(old, new):
    """Rename a folder of files, or move the files one by one in the order of their names."""
    try:
        os.rename(old, new)
    except OSError as error:
        _lacks(error, Path(new).parent, "renaming of folders: their files are moved one by one")
        os.mkdir(new)
        for path in sorted(Path(old).iterdir()):
            os.replace(path, Path(new) / path.name)
        os.rmdir(old)


@contextlib.contextmanager
def plain_path(path):
    """Yield a path of the file ``path`` that MXNet can open, to read or to write it.

    MXNet treats paths as addresses, in which # ? ; are special, and as UTF-8. For other paths, a
    temporary link to the folder is used.
    """
    path = Path(path).absolute()
    if not re.search("[#?;\udc80-\udcff]", str(path)):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "folder"
        link.symlink_to(path.parent, target_is_directory=True)
        yield str(link / path.name)
