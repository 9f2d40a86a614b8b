from tunesmith.scheduler import Candidate, Start, Wait, decide


def reasons(decisions):
    return {d.task_id: d.reason["code"] for d in decisions if isinstance(d, Wait)}


def starts(decisions):
    return {d.task_id: d.devices for d in decisions if isinstance(d, Start)}


def test_without_gpus_the_oldest_task_starts_and_the_others_wait_for_it():
    decisions = decide([Candidate(1, ()), Candidate(2, ()), Candidate(3, ())], {}, [], 1)
    assert starts(decisions) == {1: ()}
    assert reasons(decisions) == {2: "queue.waiting_for_slot", 3: "queue.waiting_for_slot"}
    assert decisions[1].reason["params"] == {"running": [1], "limit": 1}


def test_the_cpu_limit_counts_what_runs_already():
    assert starts(decide([Candidate(3, ()), Candidate(4, ())], {1: ()}, [], 2)) == {3: ()}


def test_a_task_that_names_no_gpu_gets_the_first_free_one():
    decisions = decide([Candidate(2, ()), Candidate(3, ())], {1: (0,)}, [0, 1, 2], 1)
    assert starts(decisions) == {2: (1,), 3: (2,)}


def test_a_task_waits_for_the_gpus_it_names_and_says_who_holds_them():
    decisions = decide([Candidate(2, (0, 1))], {1: (1,)}, [0, 1], 1)
    assert decisions == [
        Wait(2, {"code": "queue.waiting_for_devices", "params": {"devices": [1], "holders": [1]}})
    ]


def test_a_later_task_never_takes_a_gpu_that_an_earlier_one_waits_for():
    decisions = decide(
        [Candidate(2, (0, 1)), Candidate(3, (0,)), Candidate(4, ())], {1: (1,)}, [0, 1, 2], 1
    )
    assert starts(decisions) == {4: (2,)}
    assert reasons(decisions) == {2: "queue.waiting_for_devices", 3: "queue.waiting_for_devices"}


def test_when_all_gpus_are_taken_a_task_waits_for_any():
    decisions = decide([Candidate(2, ())], {1: (0,)}, [0], 1)
    assert reasons(decisions) == {2: "queue.waiting_for_any_device"}


def test_a_gpu_that_is_gone_is_named():
    decisions = decide([Candidate(1, (7,))], {}, [0], 1)
    assert decisions[0].reason == {"code": "queue.devices_missing", "params": {"devices": [7]}}


def test_no_gpu_is_ever_given_twice_in_one_decision():
    waiting = [Candidate(1, (0,)), Candidate(2, (0, 1)), Candidate(3, ()), Candidate(4, (1,))]
    held = [
        device for devices in starts(decide(waiting, {}, [0, 1], 1)).values() for device in devices
    ]
    assert sorted(held) == sorted(set(held))
