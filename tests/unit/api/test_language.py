import pytest

from tunesmith.api.language import preferred


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "zh"),
        ("", "zh"),
        ("en", "en"),
        ("en-US,en;q=0.9", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("fr, en;q=0.3", "en"),
        ("fr", "zh"),
        ("*", "zh"),
        ("zh;q=0.5, en;q=0.7", "en"),
        ("zh;q=0, en;q=0.1", "en"),
        ("en;q=0", "zh"),
        ("EN", "en"),
        ("en;q=nonsense, zh;q=0.1", "zh"),
        ("en;q=0.8, zh;q=0.8", "en"),
    ],
)
def test_the_best_liked_language_that_we_speak_is_taken(header, language):
    assert preferred(header, "zh") == language


def test_the_operator_chooses_where_the_client_does_not():
    assert preferred(None, "en") == "en"
    assert preferred("de, *;q=0.5", "en") == "en"
