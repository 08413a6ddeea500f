"""The command `isolation`, and how it prints what was tried: by tenant, then each leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse import __version__
from rehouse.cli import evidence_file
from rehouse.cli.options import MaxRateOption, OutputOption, ProgressOption
from rehouse.cli.output import SHOWN, Attention, Failures, print_report, say, say_more, say_note, table, to_json_types
from rehouse.core.escaping import count_noun
from rehouse.core.isolation import ALL_PAIRS_UP_TO, VICTIMS_EACH, Outcome

if TYPE_CHECKING:
    from rehouse.core.isolation_evidence import AttackFinding, Evidence, LeftOutTenant
    from rehouse.operations.isolation import IsolationPlan, IsolationReport

VictimsOption = Annotated[
    int,
    typer.Option("--victims", min=1, help=f"How many others each tenant attacks, above {ALL_PAIRS_UP_TO} tenants."),
]
SeedOption = Annotated[
    int | None,
    typer.Option(min=0, help="Take the same sample as the run that printed this seed.", show_default=False),
]
EvidenceOption = Annotated[
    Path | None,
    typer.Option("--evidence", metavar="FILE", help="Write the evidence to this new file.", show_default=False),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be tried and what it costs.")]


def isolation(
    *,
    victims: VictimsOption = VICTIMS_EACH,
    seed: SeedOption = None,
    evidence: EvidenceOption = None,
    dry_run: DryRunOption = False,
    max_rate: MaxRateOption = None,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Prove that no tenant can reach another one. It tries credentials and URLs, and damages nothing. Run it daily.

    Examples: `rehouse isolation --dry-run`, `rehouse isolation --evidence isolation.json`.
    """
    from rehouse.cli.services import finish, services
    from rehouse.operations import isolation as proving

    if evidence is not None:
        evidence_file.refuse_unwritable(evidence)
    with services(writes=False, max_rate=max_rate, progress=progress) as opened:
        choice = proving.choose(opened, seed=seed, victims_each=victims)
        planned = proving.plan(opened, choice)
        report = None if dry_run else proving.prove(opened, choice, program=f"rehouse {__version__}")
    if report is None:
        print_report(output, to_json_types(planned), lambda: show_plan(planned))
        return
    print_report(output, report, lambda: show_isolation(report))
    if evidence is not None:
        evidence_file.save(evidence, {"digest": report.digest, "evidence": to_json_types(report.evidence)})
    finish(well=report.outcome is not Outcome.LEAK, is_checked=report.outcome is Outcome.PROVEN)


def show_plan(plan: IsolationPlan) -> None:
    """Print who would take part, how many requests would be sent, and what they cost."""
    say(f"Tenants: {', '.join(plan.tenants_to_try[:SHOWN]) or 'none'}")
    say_more(len(plan.tenants_to_try))
    say(f"Shared buckets, attacked by each tenant: {', '.join(plan.shared_buckets) or 'none'}", "")
    _show_left_out(plan.tenants_left_out)
    how = "all of them" if plan.seed is None else f"{plan.victims_each} others for each tenant, seed {plan.seed}"
    cost = f"about ${plan.requests_dollars}" if plan.requests_dollars else "less than $0.01"
    requests = count_noun(plan.requests_to_send, "request")
    say(f"{count_noun(plan.pairs_to_try, 'pair')} ({how}), at most {requests}, {cost}. None was sent.")


def show_isolation(report: IsolationReport) -> None:
    """Print a line for each tenant, the leaks, what is not known, and what follows."""
    evidence = report.evidence
    _show_tenants(evidence)
    _show_findings("reached", evidence.leaks)
    _show_findings("not known:", evidence.not_known)
    faults = [each for each in evidence.principals if each.fault]
    if faults:
        say(*(f"{each.tenant}: not tried: {each.fault}" for each in faults[:SHOWN]))
        say_more(len(faults))
        say("")
    _show_left_out(evidence.tenants_left_out)
    empty = sum(not each.has_object and not each.fault for each in evidence.principals)
    if empty:
        say_note(f"{count_noun(empty, 'bucket')} without an object: nobody could try to read one there")
    if evidence.seed is not None:
        say_note(f"a sample: each tenant attacked {evidence.victims_each} others (--seed {evidence.seed} repeats it)")
    say(*_closing_lines(report))


def _show_tenants(evidence: Evidence) -> None:
    """Print a table of the tenants that attacked; above SHOWN tenants only of those with findings."""
    if not evidence.pairs:
        return
    victims = Counter(each.attacker for each in evidence.pairs)
    sent = Counter(dict.fromkeys(victims, 0))
    for pair in evidence.pairs:
        sent[pair.attacker] += len(pair.answers)
    leaks = Counter(each.attacker for each in evidence.leaks)
    unknown = Counter(each.attacker for each in evidence.not_known)
    rows = [
        (
            slug,
            count,
            sent[slug],
            sent[slug] - leaks[slug] - unknown[slug],
            Failures(leaks[slug]),
            Attention(unknown[slug]),
        )
        for slug, count in victims.items()
    ]
    shown = rows if len(rows) <= SHOWN else [row for row in rows if row[4] or row[5]][:SHOWN]
    if shown:
        table(("tenant", "buckets attacked", "requests", "denied", "reached", "not known"), shown, always=5)
        say("")


def _show_findings(what: str, findings: Sequence[AttackFinding]) -> None:
    """Print a line for each pair of tenants, with its attacks and answers, and what was left behind."""
    pairs = [(names, list(found)) for names, found in groupby(findings, lambda each: (each.attacker, each.victim))]
    for (attacker, victim), found in pairs[:SHOWN]:
        attacks = ", ".join(f"{each.attack} ({each.answer})" for each in found)
        say(f"{attacker} {what} {victim}, s3://{found[0].bucket}: {attacks}")
        say(*(f"  left behind: {each.left_behind}" for each in found if each.left_behind), "")
    say_more(len(pairs))


def _show_left_out(left_out: Sequence[LeftOutTenant]) -> None:
    if not left_out:
        return
    say(f"{count_noun(len(left_out), 'tenant')} left out:")
    say(*(f"  {each.tenant}: {each.reason}" for each in left_out[:SHOWN]))
    say_more(len(left_out))
    say("")


def _closing_lines(report: IsolationReport) -> list[str]:
    """Return what follows from the answers, and the digest."""
    evidence, leaks, unknown = report.evidence, len(report.evidence.leaks), len(report.evidence.not_known)
    counts = (
        f"{count_noun(len(evidence.principals), 'tenant')}, {count_noun(len(evidence.pairs), 'pair')}, "
        f"{evidence.denied:,} attacks denied, {leaks:,} not denied, {unknown:,} not known"
    )
    counts += f", {count_noun(report.not_tried, 'pair')} not tried." if report.not_tried else "."
    conclusion = {
        Outcome.PROVEN: "Proven: no tenant reached another one.",
        Outcome.LEAK: "Tenants are not isolated: correct the policies of these buckets, and the rights of the role.",
        Outcome.NOT_KNOWN: "Not proven: not everything could be tried.",
        Outcome.NOT_POSSIBLE: f"Not possible here: {evidence.certification.reason}",
    }[report.outcome]
    tried = [] if report.outcome is Outcome.NOT_POSSIBLE else [counts]
    return [*tried, conclusion, f"SHA-256 of the evidence: {report.digest}"]
