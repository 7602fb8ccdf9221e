"""The checksums of benchmark files: one that the user gives, and the digits that published names end in.

NAS-Bench-201-v1_0-e61699.pth, -v1_1-096897.pth and NATS-tss-v1_0-3ffb9.pickle.pbz2 carry five or six digits of a hash
of theirs. NATS-Bench calls it an MD5; NAS-Bench-201 does not say which, so the beginnings and ends of the usual ones
are compared. Since that is no certain knowledge, a file that does not fit its name is taken, and said to be doubtful.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from darts_pt.run.errors import UserError

_PUBLISHED = re.compile(r"(?:NAS-Bench-201|NATS-tss)-v\d+_\d+-([0-9a-f]{5,6})\.(?:pth|pickle\.pbz2)")
_ALGORITHMS = ("md5", "sha1", "sha256")


def check(path: Path, md5: str | None = None) -> tuple[dict[str, str], str]:
    """Read a file once and compare its hashes. A folder is not checked.

    Args:
        md5: what the file's MD5 must be; None does not check.

    Returns:
        The hashes by name, and what is doubtful about the file, or "".

    Raises:
        UserError: its MD5 is another.
    """
    if path.is_dir():
        if md5 is not None:
            raise UserError(f"{path} is a folder: --md5 goes with a file")
        return {}, ""
    named = _PUBLISHED.fullmatch(path.name)
    hashes = _hashes(path, _ALGORITHMS if named else _ALGORITHMS[:1])
    if md5 is not None and hashes["md5"] != md5.lower():
        raise UserError(f"{path} has the MD5 {hashes['md5']}, expected {md5}: it is damaged, get it again")
    if named and md5 is None:
        digits = named[1]
        if not any(value.startswith(digits) or value.endswith(digits) for value in hashes.values()):
            doubt = f"none of the file's hashes begins or ends with the {digits} of its name (MD5 {hashes['md5']})"
            return hashes, f"{doubt}: if it is a download, compare that with the publisher's"
    return hashes, ""


def _hashes(path: Path, algorithms: tuple[str, ...]) -> dict[str, str]:
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as file:
        while block := file.read(2**22):
            for digest in digests.values():
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in digests.items()}
