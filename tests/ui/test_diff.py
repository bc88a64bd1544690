from difflib import SequenceMatcher

from hypothesis import given
from hypothesis import strategies as st

from apt_core.ui.views import diff

texts = st.text(alphabet=st.sampled_from("ab c.\n<&é "), max_size=60)


@given(texts, texts)
def test_pieces_give_the_texts_back(dense, pruned):
    left, right = diff.pieces(dense, pruned)
    assert "".join(piece.text for piece in left) == dense
    assert "".join(piece.text for piece in right) == pruned


@given(texts, st.integers(0, 8), st.sampled_from(["", " ", "zz"]))
def test_of_close_answers_what_is_not_marked_is_in_both(dense, place, word):
    pruned = f"{dense[:place]}{word}{dense[place:]}" * 3
    dense = dense * 3
    words = [diff._WORDS.findall(text) for text in (dense, pruned)]
    if SequenceMatcher(None, *words, autojunk=False).ratio() < diff._CLOSE:
        return
    same = ["".join(piece.text for piece in side if not piece.differs) for side in diff.pieces(dense, pruned)]
    assert "".join(same[0].split()) == "".join(same[1].split())


@given(texts)
def test_equal_texts_have_no_mark(text):
    assert not any(piece.differs for side in diff.pieces(text, text) for piece in side)


def test_neighbouring_differences_are_one():
    rest = " that we lost in the garden behind the house last summer"
    left, _ = diff.pieces("the big red ball" + rest, "the ball" + rest)
    assert [piece.text for piece in left if piece.differs] in (["big red "], [" big red"])


def test_answers_that_part_are_marked_where_they_part_and_nowhere_else():
    left, right = diff.pieces("The sky is blue because of light", "The sky is bland and dark and dark")
    assert [(piece.text, piece.differs) for piece in left] == [
        ("The sky is ", False),
        ("blue", True),
        (" because of light", False),
    ]
    assert [piece.text for piece in right if piece.differs] == ["bland"]


@given(texts, texts)
def test_no_word_is_split_where_they_part(dense, pruned):
    place = diff.parting(dense, pruned)
    assert dense[:place] == pruned[:place]
    for text in (dense, pruned):
        inside = 0 < place < len(text) and text[place].isalnum() and text[place - 1].isalnum()
        assert not inside or place in (len(dense), len(pruned))


def test_the_sign_stands_where_they_part():
    left, _ = diff.pieces("the sky", "the sea")
    html = str(diff.marked(left, diff.parting("the sky", "the sea")))
    assert html.index("the ") < html.index("parts") < html.index("sky")


def test_the_sign_comes_last_when_one_side_ended():
    html = str(diff.marked([diff.Piece("the", False)], 3))
    assert html.startswith("the<span") and html.count('class="parts"') == 1


def test_very_long_answers_are_compared_by_their_beginning():
    long = "word " * 5000
    left, right = diff.pieces(long + "x", long + "y")
    assert left[0].text == long and left[1] == diff.Piece("x", True) and right[1].text == "y"
