"""One file = one tab of the page, or one of its columns."""
