"""The step between a fork and a server: tie it to its parent's life, give up root, then become the server.

Run as a script, `python -I -S embedded_child.py SIGNAL PARENT_PID DATA_DIR ARGV...`, never imported by the product.
SIGNAL is what the kernel sends to the server when its parent is gone. DATA_DIR is the PostgreSQL data directory, or
`-` for a server that does not mind being root. Only the standard library is at hand here.

PostgreSQL refuses to run as root, so root has to be somebody else for it. There are two ways, and neither makes a user
or changes the mode of a directory:

- a user namespace in which root is called `nobody`: the files stay root's, and all capabilities are gone;
- where namespaces are forbidden, as in most containers: really `nobody`, with the one capability that lets it reach
  files below a closed home directory.
"""

import ctypes
import os
import pwd
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2  # neither setuid() nor access() forgets the capabilities
_CLONE_NEWUSER = 0x10000000
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)


def _check(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def nobody() -> tuple[int, int]:
    """User and group id of `nobody`."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return 65534, 65534
    return entry.pw_uid, entry.pw_gid


def _enter_namespace() -> None:
    uid, gid = nobody()
    _check("unshare", _libc.unshare(_CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} 0 1")
    Path("/proc/self/gid_map").write_text(f"{gid} 0 1")


def _namespace_allowed() -> bool:
    """Try it in a process to throw away: half way in there is no way back."""
    pid = os.fork()
    if pid == 0:
        try:
            _enter_namespace()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def _become_nobody(data_dir: Path) -> None:
    uid, gid = nobody()
    if data_dir.exists() and data_dir.stat().st_uid != uid:
        for path in (data_dir, *data_dir.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)
    _check("securebits", _libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    mask = 1 << _CAP_DAC_OVERRIDE
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    data = (_CapData * 2)(_CapData(mask, mask, mask), _CapData(0, 0, 0))
    _check("capset", _libc.capset(ctypes.byref(header), data))
    _check("ambient", _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))


def _give_up_root(data_dir: Path) -> None:
    made_by_root = not data_dir.exists() or data_dir.stat().st_uid == 0
    if made_by_root and _namespace_allowed():
        _enter_namespace()
    else:
        _become_nobody(data_dir)


def main(argv: list[str]) -> None:
    """Become the server that `argv` names. Raises OSError where the system does not let it."""
    death_signal, parent_pid, data_dir, *command = argv
    if sys.platform == "linux":
        if data_dir != "-" and os.geteuid() == 0:
            _give_up_root(Path(data_dir))
        # After the change of identity, which clears it.
        _check("prctl", _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0))
        if os.getppid() != int(parent_pid):
            sys.exit("the parent is already gone")
    # The settings of somebody's client (PGPORT, PGDATA ...) are not this server's.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}  # noqa: TID251
    os.execve(command[0], command, {**inherited, "LC_ALL": "C", "TZ": "UTC"})  # noqa: S606  the point of this file


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(str(error))
