"""What pyproject.toml cannot say: assets/ and docs/ are installed in apt_core/, and what the package index shows."""

import re
from pathlib import Path

from setuptools import find_packages, setup


def for_the_index(readme: str) -> str:
    """The README without the front matter of Spaces, and without pictures and links that lead into the repository."""
    text = re.sub(r"\A---\n.*?\n---\n", "", readme, flags=re.DOTALL)
    text = re.sub(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n+", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text).lstrip()


OPTIONS = dict(
    packages=[*find_packages(include=["apt_core*"]), "apt_core.assets", "apt_core.docs"],
    package_dir={"apt_core.assets": "assets", "apt_core.docs": "docs"},
    package_data={
        "apt_core": ["py.typed"],
        "apt_core.docs": ["**/*.md", "**/*.svg"],
        "apt_core.assets": [
            "models/**",
            "samples/**",
            "texts/**",
            "prompts/**",
            "ui/**",
            "report/**",
            "tour/**",
        ],
    },
    include_package_data=False,
)

if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text("utf-8")
    setup(long_description=for_the_index(readme), long_description_content_type="text/markdown", **OPTIONS)
