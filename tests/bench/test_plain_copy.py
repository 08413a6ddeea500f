"""What is made of the clients' costs: start-up is not divided by how many objects a client got; what is missing is told."""

from __future__ import annotations

from bench.benchmarks import plain_copy
from bench.benchmarks.plain_copy import Measured
from bench.clients.names import BOTO3, ENGINE, REHOUSE, S5CMD
from bench.measuring import Cost
from bench.result import NOT_MEASURED, Result


def measured(cpu_seconds: float, objects: int, startup_seconds: float) -> list[Measured]:
    return [Measured(Cost(cpu_seconds, 10.0, 0, ""), objects, objects, Cost(startup_seconds, 1.0, 0, ""))]


def goals(made: plain_copy.Made) -> dict[str, tuple[str, bool | None]]:
    result = Result("copy-0ms", "", [])
    plain_copy._goals(result, made)
    return {goal.subject: (goal.measured, goal.reached) for goal in result.goals}


def test_a_ratio_is_judged_without_the_start_up_of_either_side() -> None:
    made = {REHOUSE: measured(4.0, 100_001, 1.0), BOTO3: measured(4.0, 5_001, 1.0)}
    assert made[REHOUSE][0].further_micros == 30
    assert made[BOTO3][0].further_micros == 600
    assert goals(made)["bulk plane against boto3, without start-up"] == ("1/20.0 (with start-up 1/20.0)", False)


def test_objects_a_second_are_those_of_the_whole_program() -> None:
    assert measured(4.0, 1_000, 1.0)[0].rate == 100


def test_a_missing_client_leaves_its_goals_as_not_measured() -> None:
    found = goals({REHOUSE: measured(4.0, 100_000, 0.4), ENGINE: measured(5.0, 100_000, 0.4)})
    assert found["bulk plane, 0 ms, CPU a copy"][1] is True
    assert found["engine against s5cmd run, without start-up"] == (NOT_MEASURED, None)
    assert S5CMD not in found


def test_without_a_server_every_goal_is_there_and_not_measured() -> None:
    latency = Result("copy-50ms", "", [])
    plain_copy._goals_of_latency(latency, {})
    found = [*goals({}).values(), *((goal.measured, goal.reached) for goal in latency.goals)]
    assert found == [(NOT_MEASURED, None)] * 8
