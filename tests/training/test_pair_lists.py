"""Lists of images and annotations, as editors and shells write them."""

import pytest

from utils.errors import InputError
from utils.training.pair_lists import read_pairs

TEXT = "# list\r\nJPEGImages/a.jpg Annotations/a.png\r\n\r\nJPEGImages/b.jpg Annotations/b.png\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_is_read_in_the_encodings_of_shells(tmp_path, encoding):
    (tmp_path / "list.txt").write_bytes(TEXT.encode(encoding))
    pairs = read_pairs(tmp_path / "list.txt")
    assert pairs == [(f"JPEGImages/{n}.jpg", f"Annotations/{n}.png") for n in "ab"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le"])
def test_a_list_in_another_encoding_is_refused_by_name(tmp_path, encoding):
    (tmp_path / "list.txt").write_bytes(TEXT.replace("# list", "# espèces").encode(encoding))
    with pytest.raises(InputError, match=r"list\.txt: expected a text file in UTF-8"):
        read_pairs(tmp_path / "list.txt")
