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


def test_gradio_finds_pandas_once_it_needs_it():
    code = (
        "import sys, apt_core.ui, gradio.caching\n"
        "print('pandas' in sys.modules, end=' ')\n"
        "print(gradio.caching.pd.DataFrame({'a': [1, 2]}).shape, 'pandas' in sys.modules)\n"
        "import pandas; print(pandas.DataFrame is gradio.caching.pd.DataFrame)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == ["False", "(2,", "1)", "True", "True"]


def test_a_page_is_described_alike_with_remembered_signatures():
    code = (
        "import sys, json\n"
        "if sys.argv[1] == 'ours': import apt_core.ui\n"
        "import gradio as gr\n"
        "with gr.Blocks() as page:\n"
        "    box, many = gr.Textbox('a', label='b'), gr.Dropdown(['a', 'b'], multiselect=True)\n"
        "    gr.HTML('c', elem_id='d'); gr.Number(3); gr.Button('e').click(lambda x: x, box, many)\n"
        "config = page.get_config_file()\n"
        "print(json.dumps([config['components'], config['dependencies'], config['layout']], default=str))\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code, whose], capture_output=True, text=True, timeout=120, check=True
        ).stdout
        for whose in ("ours", "theirs")
    }
    assert len(said) == 1 and '"label": "b"' in said.pop()
