"""`python -I -S launcher.py DESCRIPTOR CORE COMMAND …`: run a command on a core ("any": on all) and tell what it cost.

To a process's peak memory the system counts that of the process which began it, so a client's must begin from something
small: this imports next to nothing, and what it told of is the command alone. The command's environment and output are its own.
Told on the descriptor, a line each: the command's process id; then exit status, CPU seconds, wall seconds, peak bytes.
"""

import os
import sys
import time


def main() -> None:
    descriptor, core, *command = sys.argv[1:]
    os.set_inheritable(int(descriptor), False)
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _become(core, command)
    with os.fdopen(int(descriptor), "w", buffering=1) as told:
        told.write(f"{pid}\n")
        _, status, used = os.wait4(pid, 0)
        wall_seconds = time.monotonic() - began
        code, cpu_seconds = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        told.write(f"{code} {cpu_seconds} {wall_seconds} {used.ru_maxrss * 1024}\n")


def _become(core: str, command: list[str]) -> None:
    try:
        if core != "any":
            os.sched_setaffinity(0, {int(core)})
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error}\n")
        sys.stderr.flush()
    os._exit(127)


if __name__ == "__main__":
    main()
