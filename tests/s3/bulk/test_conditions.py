"""What is in every copy request: the conditions, the owners, the keys as they are; against a scripted server."""

from tests.support.s3_stub import Scripted, error, script, serving

from rehouse.core.model import ObjectRef


def test_conditions_and_owners_are_in_every_request(stub_plane, task):
    with script(Scripted()) as stub:
        plane = stub_plane(stub.url, owner="123456789012")
        first, second = (
            task(1),
            task(2, replaces_etag="bb", source=ObjectRef("shared", "ü ?+", "v/1"), storage_class="STANDARD_IA"),
        )
        assert [outcome.fault for outcome in plane.copy([first, second])] == [None, None]
        seen = {request.path: request.headers for request in stub.seen}
    fresh, again = seen["/home/documents/1"], seen["/home/documents/2"]
    assert (fresh["if-none-match"], fresh["x-amz-copy-source-if-match"]) == ("*", '"aa"')
    assert fresh["x-amz-copy-source"] == "/shared/in/1"
    assert "if-match" not in fresh
    assert "x-amz-storage-class" not in fresh
    assert (again["if-match"], again["x-amz-copy-source-if-match"]) == ('"bb"', '"aa"')
    assert again["x-amz-copy-source"] == "/shared/%C3%BC%20%3F%2B?versionId=v%2F1"
    assert "if-none-match" not in again
    assert again["x-amz-storage-class"] == "STANDARD_IA"
    for headers in (fresh, again):
        assert headers["x-amz-expected-bucket-owner"] == headers["x-amz-source-expected-bucket-owner"] == "123456789012"
        assert headers["content-length"] == "0"
        assert not {"expect", "accept", "content-type", "x-amz-metadata-directive"} & set(headers)


def test_dot_segments_and_slashes_reach_the_server_as_they_are(stub_plane, task):
    keys = ["../other/escaped", "a/./b", "a/../../b", "//x", "%2e%2e/y"]
    with script(Scripted()) as stub:
        list(stub_plane(stub.url).copy(task(n, target=ObjectRef("home", key)) for n, key in enumerate(keys)))
        assert {seen.path for seen in stub.seen} == {
            "/home/../other/escaped", "/home/a/./b", "/home/a/../../b", "/home///x", "/home/%252e%252e/y",
        }  # fmt: skip


def test_an_endpoint_without_the_targets_condition_is_noticed(stub_plane, task):
    def answer(seen):
        return Scripted(501, error("NotImplemented")) if "if-none-match" in seen.headers else Scripted()

    with serving(answer) as stub:
        plane = stub_plane(stub.url, in_flight=1)
        assert plane.target_condition_offered is None
        assert [outcome.fault for outcome in plane.copy(task(n) for n in range(5))] == [None] * 5
        assert plane.target_condition_offered is False
        assert len(stub.seen) == 6


def test_one_copy_not_implemented_leaves_the_others_guarded(stub_plane, task):
    def answer(seen):
        return Scripted(501, error("NotImplemented")) if "x-amz-storage-class" in seen.headers else Scripted()

    with serving(answer) as stub:
        plane = stub_plane(stub.url, in_flight=1)
        outcomes = list(plane.copy([task(1, storage_class="DEEP_ARCHIVE"), task(2), task(3)]))
        assert {each.task.document_id: each.fault and each.fault.code for each in outcomes} == {
            "1": "NotImplemented",
            "2": None,
            "3": None,
        }
        assert [each.is_guarded for each in outcomes if not each.fault] == [True, True]
        assert plane.target_condition_offered is None
