"""A destination that keeps objects as files of a directory tree."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import urllib.parse

from brock_plugin import Conflict, Exist, Invalid, NotExist, Permission, Setting, serve_destination

HIDDEN = ".tree-partial"  # directory of what is being written; no object is called that
PIECE = 1 << 20


class Tree:
    """A directory. It keeps nothing open between calls."""

    def __init__(self, settings):
        location = urllib.parse.urlsplit(settings.uri)
        if location.netloc or not os.path.isabs(location.path):
            raise Invalid(f"location {settings.uri}: not an absolute path", hint="write tree:///mnt/backups")
        _become_user()
        self.root = os.path.realpath(urllib.parse.unquote(location.path))
        self.hidden = os.path.join(self.root, HIDDEN)

    def put(self, name, data):
        path = self._path(name)
        with self._written(data) as tmp:
            self._publish(tmp, path)

    def replace(self, name, data, version):
        path = self._path(name)
        with self._written(data) as tmp, self._locked():
            now = _digest(path)
            if now != version:
                raise Conflict(f"{name}: version {now!r}, not {version!r}")
            if version:
                os.rename(tmp, path)
                _sync(os.path.dirname(path))
                return _digest(path)
            try:
                self._publish(tmp, path)
            except FileExistsError:
                raise Conflict(f"{name}: there is an object by now") from None
            return _digest(path)

    def version(self, name):
        return _digest(self._path(name))

    def get(self, name, offset):
        with _opened(self._path(name)) as f:
            size = os.fstat(f.fileno()).st_size
            if offset > size:
                raise Invalid(f"{name}: offset {offset} of {size} bytes")
            f.seek(offset)
            while piece := f.read(PIECE):
                yield piece

    def list(self, prefix):
        if not os.path.isdir(self.root):
            os.stat(self.root)  # says why
            raise NotExist(f"location {self.root}: not a directory")
        yield from self._walk("", prefix)

    def delete(self, name):
        path = self._path(name)
        if os.path.isdir(path):
            return
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._locked():
            os.unlink(path)
            _sync(os.path.dirname(path))
        with contextlib.suppress(OSError):  # not empty
            while (path := os.path.dirname(path)) != self.root:
                os.rmdir(path)

    def probe(self):
        os.stat(self.root)
        with self._written([b"probe"]):
            pass

    def report(self):
        weak = os.path.exists(self.root) and os.stat(self.root).st_mode & 0o002 != 0
        hint = f"chmod o-w {self.root}" if weak else ""
        detail = "everybody may write to it" if weak else "others may not write to it"
        return [{"name": "directory", "detail": detail, "hint": hint, "problem": weak}]

    def _path(self, name):
        path = os.path.join(self.root, name)
        if name.split("/")[0] == HIDDEN or max(len(os.fsencode(part)) for part in name.split("/")) > 255:
            raise Invalid(f"object name {name!r}: cannot be a file's")
        parent = os.path.realpath(os.path.dirname(path))
        if os.path.commonpath([self.root, parent]) != self.root:
            raise Permission(f"{name}: a symbolic link leads out of the location")
        return path

    @contextlib.contextmanager
    def _written(self, data):
        """Gives the name of a file that holds all the data, for a while."""
        os.makedirs(self.hidden, 0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.hidden, delete=False) as f:
            try:
                for piece in data:
                    f.write(piece)
                f.flush()
                os.fsync(f.fileno())
                yield f.name
            finally:
                with contextlib.suppress(FileNotFoundError):  # after a rename
                    os.unlink(f.name)

    def _publish(self, tmp, path):
        """Gives a file its name, if that is free."""
        parent = os.path.dirname(path)
        for attempt in range(20):
            try:
                _directory(parent)
                os.link(tmp, path, follow_symlinks=False)
                break
            except FileNotFoundError:  # a delete has removed the directory, which was empty
                if attempt == 19:
                    raise
            except NotADirectoryError:
                raise Invalid(f"{path}: an object is where its directory would be") from None
        while len(parent) >= len(self.root):
            _sync(parent)
            parent = os.path.dirname(parent)

    @contextlib.contextmanager
    def _locked(self):
        """Lets one change what is there, of all threads and processes."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _walk(self, below, prefix):
        try:
            with os.scandir(os.path.join(self.root, below)) as found:
                entries = [(e.name + "/" if e.is_dir(follow_symlinks=False) else e.name, e) for e in found]
        except FileNotFoundError:
            return  # a delete has removed it
        for name, entry in sorted(entries, key=lambda e: e[0]):
            name = below + name
            if not (name.startswith(prefix) or prefix.startswith(name)) or name == HIDDEN + "/":
                continue
            if name.endswith("/"):
                yield from self._walk(name, prefix)
            elif entry.is_file(follow_symlinks=False) and name.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):
                    yield name, entry.stat(follow_symlinks=False).st_size


@contextlib.contextmanager
def _opened(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with open(fd, "rb", buffering=0) as f:
            yield f
    except (IsADirectoryError, NotADirectoryError, FileNotFoundError):
        raise NotExist(f"{path}: no such object") from None


def _digest(path):
    """Returns the version of an object: "" if it is not there."""
    try:
        with _opened(path) as f:
            return hashlib.sha256(f.read()).hexdigest()
    except NotExist:
        return ""


def _directory(path):
    """Makes a directory that another thread may be about to remove."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except FileExistsError:
        if os.path.lexists(path):  # and it is none
            raise NotADirectoryError(path) from None
        raise FileNotFoundError(path) from None


def _sync(directory):
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _become_user():
    """For tests that run as root, to whom nothing is forbidden."""
    uid = os.environ.get("BROCK_TEST_UID")
    if uid and os.getuid() == 0:
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))


def main():
    serve_destination(
        name="tree",
        version="0.1.0",
        doc="Keeps objects as files of a directory tree.",
        schemes=["tree"],
        settings=[Setting("uri", "the directory that holds the objects", required=True, example="tree:///mnt/backups")],
        make=Tree,
    )


if __name__ == "__main__":
    main()
