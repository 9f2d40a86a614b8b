import pytest

from tunesmith.errors import InvalidInput
from tunesmith.paths import inside_roots


def code(value, *roots):
    with pytest.raises(InvalidInput) as refused:
        inside_roots(str(value), "datasetPath", roots)
    (problem,) = refused.value.problems
    assert problem.field == "datasetPath"
    return problem.code.removeprefix("field.")


def test_a_path_inside_a_root_comes_back_absolute_and_without_dots(tmp_path):
    assert inside_roots(f"{tmp_path}/a/../b 空格", "f", [tmp_path]) == tmp_path / "b 空格"


def test_dots_do_not_lead_out_of_a_root(tmp_path):
    assert code(f"{tmp_path}/in/../../etc", tmp_path / "in") == "path_outside_roots"


def test_a_symlink_is_followed_before_the_check(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to("/etc")
    assert code(tmp_path / "in" / "link" / "passwd", tmp_path / "in") == "path_outside_roots"


def test_a_neighbour_with_the_same_beginning_is_outside(tmp_path):
    assert code(f"{tmp_path}/data-secret", tmp_path / "data") == "path_outside_roots"


def test_a_symlink_that_leads_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    # Python 3.13 resolves it as far as it goes; before, it raises.
    try:
        assert inside_roots(str(tmp_path / "loop"), "f", [tmp_path]).name == "loop"
    except InvalidInput as refused:
        assert refused.problems[0].code == "field.path_unusable"


@pytest.mark.parametrize("value", ["data", "./data", "../x"])
def test_a_relative_path_is_refused(tmp_path, value):
    assert code(value, tmp_path) == "path_relative"


def test_an_unusable_path_is_refused(tmp_path):
    assert code("/a\0b", tmp_path) == "path_unusable"
    assert code("~nobody-of-that-name/x", tmp_path) == "path_unusable"
