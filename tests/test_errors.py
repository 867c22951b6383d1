from app.errors import Code, GradbookError


def test_an_error_says_where_seen_from_further_out() -> None:
    error = GradbookError(Code.INVALID_INPUT, "rating is 9, expected 1 to 5", ("rating",)).below(
        "responses", 3, "values"
    )
    assert (error.code, error.path) == ("INVALID_INPUT", ("responses", 3, "values", "rating"))
    assert str(error) == "rating is 9, expected 1 to 5"


def test_every_code_is_described_in_a_sentence() -> None:
    assert [code.name for code in Code if not code.description.endswith(".")] == []
