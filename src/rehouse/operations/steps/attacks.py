"""The attacks of a proof of isolation: prepare the tenants, let each attack its victims, judge the answers, remove what leaks made.

Each tenant first shows that its own access works: otherwise a refusal would prove nothing.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from rehouse.core.errors import Interrupted, RehouseError, StorageRefused
from rehouse.core.isolation import NAME_THE_OBJECT, Attack, Verdict, attacks_on, judge
from rehouse.core.isolation_evidence import AttackFinding, PairAnswers
from rehouse.core.model import ObjectRef, Tenant
from rehouse.core.progress import BEGUN, DONE, Progress
from rehouse.operations.services import Services
from rehouse.s3.attacks import Answer, Attacker, Attacks, Victim
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import translate_errors
from rehouse.s3.objects.client import ObjectClient
from rehouse.s3.session import Credentials
from rehouse.s3.tenant_credentials import TenantCredentials

log = logging.getLogger(__name__)

AT_ONCE = 16
"""How many tenants attack at the same time, each with one request after the other."""
LISTED = 100
STAGED = "temp/"
LARGEST_COPY = 5 * 1024**3


@dataclass(frozen=True, slots=True)
class Party:
    """Who takes part: a tenant or, as a victim only, a shared bucket (`tenant` is None); an object in the bucket with its version.

    `own_access`: a tenant's answer for its own bucket. `fault`: why nothing can be tried with it.
    """

    name: str
    bucket: str
    tenant: Tenant | None = None
    key: str | None = None
    version: str | None = None
    own_access: Answer | None = None
    fault: str | None = None


@dataclass(slots=True)
class Tried:
    """What came of attacks. `not_tried`: pairs that were not tried, because nothing could be tried with one of the two."""

    pairs: list[PairAnswers] = field(default_factory=list)
    leaks: list[AttackFinding] = field(default_factory=list)
    not_known: list[AttackFinding] = field(default_factory=list)
    denied: int = 0
    not_tried: int = 0

    def add(self, other: Tried) -> None:
        """Add what came of other attacks."""
        self.pairs += other.pairs
        self.leaks += other.leaks
        self.not_known += other.not_known
        self.denied += other.denied
        self.not_tried += other.not_tried


def prepare(
    services: Services, attacks: Attacks, credentials: TenantCredentials, homes: Sequence[tuple[Tenant, str]]
) -> list[Party]:
    """Return the parties, each after it has shown that its own access works; in the order of `homes`."""

    def prepare_one(home: tuple[Tenant, str]) -> Party:
        services.stop_here()
        tenant, bucket = home
        party = Party(tenant.slug, bucket, tenant)
        try:
            return _prepare(services.control, attacks, credentials.of(tenant, bucket), party)
        except Interrupted:
            raise
        except RehouseError as error:
            return replace(party, fault=error.message)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(prepare_one, homes))


def shared_victims(services: Services, buckets: Sequence[str]) -> list[Party]:
    """Return the shared buckets as victims, each with an object in it. Raises StorageRefused if one cannot be listed."""
    found = {bucket: find_object(services.control, bucket) for bucket in buckets}
    return [Party(bucket, bucket, key=key, version=version) for bucket, (key, version) in found.items()]


def find_object(control: Control, bucket: str) -> tuple[str | None, str | None]:
    """Return the key and the version of a small object in the bucket; None for what there is not."""
    with translate_errors(bucket):
        page = control.client.list_objects_v2(Bucket=bucket, MaxKeys=LISTED, **control.owner())
        found = [each for each in page.get("Contents", []) if not each["Key"].startswith(STAGED)]
        smallest = min(found, key=lambda each: (each["Size"] == 0, each["Size"]), default=None)
        if smallest is None or smallest["Size"] > LARGEST_COPY:
            return None, None
        head = control.client.head_object(Bucket=bucket, Key=smallest["Key"], **control.owner())
    return smallest["Key"], head.get("VersionId")


@dataclass(frozen=True, slots=True)
class Campaign:
    """What all attacks of a run share. `client` removes what leaks have made."""

    services: Services
    attacks: Attacks
    credentials: TenantCredentials
    client: ObjectClient

    def attack_all(self, parties: Sequence[Party], shared: Sequence[Party], pairs: Sequence[tuple[int, int]]) -> Tried:
        """Let each party attack its victims and the shared buckets. `pairs` are places in `parties`."""
        victims = defaultdict[int, list[Party]](list)
        for attacker, victim in pairs:
            victims[attacker].append(parties[victim])
        self.services.report(Progress("", BEGUN, documents_total=len(parties)))
        total = Tried()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            work = [(party, [*victims[place], *shared]) for place, party in enumerate(parties)]
            for tried in pool.map(lambda each: self._attack_from(*each), work):
                total.add(tried)
        return total

    def _attack_from(self, party: Party, victims: Sequence[Party]) -> Tried:
        tried = Tried()
        for count, victim in enumerate(victims):
            if party.fault or victim.fault or not self._attack(party, victim, tried):
                tried.not_tried += 1
            event = Progress(party.name, "attack", count + 1, len(victims), documents_failed=len(tried.leaks))
            self.services.report(event)
        self.services.report(Progress(party.name, DONE))
        return tried

    def _attack(self, party: Party, other: Party, tried: Tried) -> bool:
        """Send the attacks of one pair. Return whether there were credentials to send them with."""
        try:
            who = Attacker(party.bucket, self._credentials_of(party))
            victim = Victim(other.bucket, self._credentials_of(other), other.key, other.version, other.tenant is None)
        except Interrupted:
            raise
        except RehouseError as error:
            log.warning("%s, %s: %s", party.name, other.name, error.message)
            return False
        answers: dict[str, str] = {}
        for attack in attacks_on(has_object=other.key is not None, has_version=other.version is not None):
            answer = self.attacks.send(attack, who, victim)
            answers[attack.value] = str(answer)
            self._judge(party, other, attack, answer, tried)
        tried.pairs.append(PairAnswers(party.name, other.name, other.bucket, answers))
        return True

    def _judge(self, party: Party, other: Party, attack: Attack, answer: Answer, tried: Tried) -> None:
        verdict = judge(attack, answer.status, answer.code)
        if verdict is Verdict.DENIED:
            tried.denied += 1
            return
        made = answer.left
        key = made.key if made and made.bucket == other.bucket else other.key if attack in NAME_THE_OBJECT else None
        finding = AttackFinding(
            party.name, other.name, other.bucket, key, attack, str(answer), answer.message, remove(self.client, answer)
        )
        (tried.leaks if verdict is Verdict.LEAKED else tried.not_known).append(finding)

    def _credentials_of(self, party: Party) -> Credentials:
        """Return the credentials that are valid now."""
        if party.tenant is None:
            return self.services.control.session.credentials()
        return self.credentials.of(party.tenant, party.bucket)


def _prepare(control: Control, attacks: Attacks, own: Credentials, party: Party) -> Party:
    key, version = find_object(control, party.bucket)
    who = Attacker(party.bucket, own)
    answer = attacks.look(who)
    if answer.code is None and key is not None:
        answer = attacks.read_by_url(who, key)
    if answer.code not in {None, "InvalidRange"}:  # the range of an empty object
        fault = f"its own credentials do not reach its own bucket: {answer}: {answer.message}"
        return replace(party, own_access=answer, fault=fault)
    return replace(party, key=key, version=version, own_access=answer)


def remove(client: ObjectClient, answer: Answer) -> str | None:
    """Remove what an attack has made, with our own credentials; return what stays behind and why, None if nothing does.

    Without the right to remove a version, the object is deleted, and its version stays until a lifecycle rule removes it.
    """
    made = answer.left
    if made is None:
        return None
    bare = ObjectRef(made.bucket, made.key)
    try:
        if answer.is_upload:
            for upload_id in [answer.upload_id] if answer.upload_id else client.open_uploads(bare):
                client.abort_multipart(bare, upload_id)
        elif answer.code is None or client.head(bare) is not None:
            client.delete(made)
    except StorageRefused as error:
        if made.version is None or answer.is_marker:
            return error.message
        return _delete_only(client, bare)
    except RehouseError as error:
        return error.message
    return None


def _delete_only(client: ObjectClient, ref: ObjectRef) -> str:
    try:
        client.delete(ref)
    except RehouseError as error:
        return error.message
    return f"an older version of s3://{ref.bucket}/{ref.key}, which only the right s3:DeleteObjectVersion removes"
