"""The canary: read a few documents in full, as the application would read them, before the others are switched.

rehouse reads them with the application's credentials (REHOUSE_APPLICATION_PROFILE), or with its own if these are not set. A note
says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rehouse.core.copies import is_md5
from rehouse.core.errors import Halt, Refused, StorageRefused, StorageUnavailable
from rehouse.core.escaping import count_noun
from rehouse.core.lifecycle import Phase
from rehouse.ledger.copies import CanarySamples, Sample
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Run
from rehouse.s3.faults import translate_errors
from rehouse.s3.reading import read_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def read_canary_copies(run: Run) -> Run:
    """Read a few copies in the home before it is switched, if a canary was asked for. Raises Refused at the first that fails."""
    if not run.order.canary or run.phase is not Phase.VERIFIED:
        return run
    samples = run.services.ledger.of(run.migration, CanarySamples).copies(run.order.canary)
    problem = _first_problem(run.services, samples)
    if problem:
        raise Refused(
            f"{run.slug}: the canary failed, nothing was switched: {problem}",
            hint="`rehouse iam-policy --role application` prints what the application needs; then run the same command again",
            subject=run.slug,
        )
    return run.note(f"canary: {_describe(run.services, samples)} before the home was switched")


def read_canary_rows(run: Run) -> Run:
    """Read the flipped documents through their rows, if a canary was asked for. Raises Halt at the first that fails.

    It skips a row that the application moved meanwhile. An object that the application overwrote meanwhile is read as it is now.
    """
    if not run.order.canary:
        return run
    canaries = run.services.ledger.of(run.migration, CanarySamples)
    samples = canaries.flipped_rows(run.order.canary)
    problem = _first_problem(run.services, samples, is_live=True)
    if problem and canaries.flipped_rows(run.order.canary) == samples:
        raise Halt(
            f"{run.slug}: the canary failed after the switch, {len(samples)} documents are flipped: {problem}",
            hint=f"`rehouse rollback {run.slug}` returns the tenant to the shared bucket; nothing else was flipped",
            subject=run.slug,
        )
    return run.note(f"canary: {_describe(run.services, samples)} through their rows")


def _first_problem(services: Services, samples: Sequence[Sample], *, is_live: bool = False) -> str | None:
    if not samples:
        return None
    client = services.control.session.with_profile(services.settings.application_profile).client("s3")
    for sample in samples:
        services.stop_here()
        problem = _problem(client, sample, is_live=is_live)
        if problem:
            return f"{sample.document_id}, s3://{sample.place.bucket}/{sample.place.key}: {problem}"
    return None


def _problem(client: S3Client, sample: Sample, *, is_live: bool) -> str | None:
    """Return what is wrong with an object, or None. Its MD5 is compared if its ETag is an MD5.

    `is_live`: the application writes there, so another object is compared with its own ETag.
    """
    try:
        with translate_errors(sample.place.key):
            found = read_object(client, sample.place, "md5")
    except (StorageRefused, StorageUnavailable) as error:
        return error.message
    wanted = found.announced_size if is_live and found.etag != sample.etag else sample.size
    if found.etag != sample.etag and not is_live:
        return f"its ETag is {found.etag} instead of {sample.etag}"
    if found.size != wanted:
        return f"S3 sent {found.size} bytes instead of {wanted}"
    if is_md5(found.etag) and not found.encryption.startswith("aws:") and found.digest != found.etag:
        return f"the MD5 of the bytes is {found.digest} instead of {found.etag}"
    return None


def _describe(services: Services, samples: Sequence[Sample]) -> str:
    profile = services.settings.application_profile
    whose = "the application's credentials" if profile else "our credentials (REHOUSE_APPLICATION_PROFILE is not set)"
    return f"{count_noun(len(samples), 'document')} {'was' if len(samples) == 1 else 'were'} read in full with {whose}"
