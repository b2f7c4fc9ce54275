import pytest

# `kit.same` compares: without this a failure would not show what is different.
pytest.register_assert_rewrite("tests.parity.kit", "parity.kit")
