"""The checksums of published benchmark files: one that the user gives, and the digits that their names end in.

NAS-Bench-201-v1_0-e61699.pth, -v1_1-096897.pth and NATS-tss-v1_0-3ffb9.pickle.pbz2 carry five or six digits of a hash
of theirs. NATS-Bench calls it an MD5; NAS-Bench-201 does not say which, so the beginnings and ends of the usual ones
are compared. By chance a damaged file passes once in some three million times (five digits: 170,000).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from darts_pt.errors import UserError

_PUBLISHED = re.compile(r"(?:NAS-Bench-201|NATS-tss)-v\d+_\d+-([0-9a-f]{5,6})\.(?:pth|pickle\.pbz2)")
_ALGORITHMS = ("md5", "sha1", "sha256")


def check(path: Path, md5: str | None = None, accept: bool = False) -> dict[str, str]:
    """Read a file once and compare its hashes; they are returned by name. A folder is not checked.

    Args:
        md5: what the file's MD5 must be; None does not check.
        accept: take a file that does not fit the digits in its name.

    Raises:
        UserError: a hash is another.
    """
    if path.is_dir():
        if md5 is not None:
            raise UserError(f"{path} is a folder: --md5 goes with a file")
        return {}
    named = _PUBLISHED.fullmatch(path.name)
    hashes = _hashes(path, _ALGORITHMS if named else _ALGORITHMS[:1])
    if md5 is not None and hashes["md5"] != md5.lower():
        raise UserError(f"{path} has the MD5 {hashes['md5']}, expected {md5}: it is damaged, get it again")
    if named and md5 is None and not accept:
        digits = named[1]
        if not any(value.startswith(digits) or value.endswith(digits) for value in hashes.values()):
            raise UserError(
                f"{path} is not the file of that name: none of its hashes begins or ends with {digits} (MD5 "
                f"{hashes['md5']}); get it again, or import it with python -m nasbench201.table import --accept"
            )
    return hashes


def _hashes(path: Path, algorithms: tuple[str, ...]) -> dict[str, str]:
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as file:
        while block := file.read(2**22):
            for digest in digests.values():
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in digests.items()}
