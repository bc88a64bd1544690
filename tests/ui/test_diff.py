from hypothesis import given
from hypothesis import strategies as st

from apt_core.ui.views import diff

texts = st.text(alphabet=st.sampled_from("ab c.\n<&é "), max_size=60)


@given(texts, texts)
def test_pieces_give_the_texts_back(dense, pruned):
    left, right = diff.pieces(dense, pruned)
    assert "".join(piece.text for piece in left) == dense
    assert "".join(piece.text for piece in right) == pruned


@given(texts, texts)
def test_what_is_not_marked_is_in_both(dense, pruned):
    same = ["".join(piece.text for piece in side if not piece.differs) for side in diff.pieces(dense, pruned)]
    assert "".join(same[0].split()) == "".join(same[1].split())


@given(texts)
def test_equal_texts_have_no_mark(text):
    assert not any(piece.differs for side in diff.pieces(text, text) for piece in side)


def test_neighbouring_differences_are_one():
    left, _ = diff.pieces("the big red ball", "the ball")
    assert [piece.text for piece in left if piece.differs] in (["big red "], [" big red"])


def test_the_sign_stands_where_they_part():
    left, _ = diff.pieces("the sky", "the sea")
    html = str(diff.marked(left, diff.common_beginning("the sky", "the sea")))
    assert html.index("the ") < html.index("parts") < html.index("ky")


def test_the_sign_comes_last_when_one_side_ended():
    html = str(diff.marked([diff.Piece("the", False)], 3))
    assert html.startswith("the<span") and html.count('class="parts"') == 1


def test_very_long_answers_are_compared_by_their_beginning():
    long = "word " * 5000
    left, right = diff.pieces(long + "x", long + "y")
    assert left[0].text == long and left[1] == diff.Piece("x", True) and right[1].text == "y"
