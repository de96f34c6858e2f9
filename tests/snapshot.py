"""Print, as JSON, all that can be told of a tree: names, types, modes, owners, times, contents.

A program of its own, so that a test can run it where it has mounted something:

    python snapshot.py FOLDER            the folder
    python snapshot.py FOLDER OPTIONS    an overlay of these options, mounted at the folder first
"""

import hashlib
import json
import os
import stat
import subprocess
import sys


def attributes(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {
        name: os.getxattr(path, name, follow_symlinks=False).hex()
        for name in sorted(names)
        if not name.startswith(("trusted.overlay.", "user.overlay."))
    }


def described(path, links):
    status = os.lstat(path)
    found = {
        "mode": oct(status.st_mode),
        "owner": [status.st_uid, status.st_gid],
        "mtime": status.st_mtime_ns,
        "xattrs": attributes(path),
    }
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found |= {"size": status.st_size, "content": digest}
    elif stat.S_ISLNK(status.st_mode):
        found["link"] = os.readlink(path)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        found["device"] = status.st_rdev
    if not stat.S_ISDIR(status.st_mode):
        found["same as"] = links.setdefault((status.st_dev, status.st_ino), path)
    return found


def main(folder, options=None):
    if options:
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, folder], check=True)
    os.chdir(folder)
    paths = ["."]
    for where, folders, files in os.walk("."):
        folders.sort()
        paths += [os.path.join(where, name) for name in folders + sorted(files)]
    links = {}
    json.dump({path: described(path, links) for path in sorted(paths)}, sys.stdout)


main(*sys.argv[1:])
