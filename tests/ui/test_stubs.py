"""Gradio is imported without writing into its own package."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

IMPORTED = """
    import sys
    from pathlib import Path
    written = []
    write_text, read_text = Path.write_text, Path.read_text
    Path.write_text = lambda path, *_, **__: written.append(path)
    Path.read_text = lambda path, *args, **named: written.append(path) or read_text(path, *args, **named)
    {before}
    import gradio
    from gradio.blocks_events import create_or_modify_pyi
    sources = [path for path in written if "gradio" in str(path) and path.suffix in (".py", ".pyi")]
    print(len(sources), gradio.HTML("here").value, create_or_modify_pyi.__module__)
"""


def imported(before: str) -> list[str]:
    code = textwrap.dedent(IMPORTED).format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.split()


def test_the_page_imports_gradio_without_its_stubs():
    assert imported("import apt_core.ui") == ["0", "here", "apt_core.ui.stubs"]


@pytest.mark.slow
def test_gradio_still_writes_them_by_itself():
    """Should this fail, Gradio has stopped writing stubs, and `apt_core.ui.stubs` can go."""
    sources, _, module = imported("")
    assert int(sources) > 50 and module == "gradio.component_meta"
