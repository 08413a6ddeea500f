"""Say which end of a copy S3 refused."""

from __future__ import annotations

from dataclasses import replace

from rehouse.core.model import CopyTask, Fault


def name_refusing_place(task: CopyTask, fault: Fault) -> Fault:
    """Return a copy's fault; if S3 refused the write, name the target at the beginning of its message.

    A copy is one request that reads the source and writes the target, and reports name only the source.

    >>> from rehouse.core.model import ObjectRef
    >>> task = CopyTask("7", ObjectRef("home", "a"), "", 1, "STANDARD", ObjectRef("shared", "b"))
    >>> name_refusing_place(task, Fault("AccessDenied", "not authorized to perform: s3:PutObject")).message
    'at the target shared/b: not authorized to perform: s3:PutObject'
    >>> name_refusing_place(task, Fault("AccessDenied", "not authorized to perform: s3:GetObject")).message
    'not authorized to perform: s3:GetObject'
    """
    if "s3:PutObject" not in fault.message:
        return fault
    return replace(fault, message=f"at the target {task.target.bucket}/{task.target.key}: {fault.message}")
