"""What pyproject.toml cannot say: the folder assets/ is installed as apt_core/assets."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["apt_core*"]), "apt_core.assets"],
    package_dir={"apt_core.assets": "assets"},
    package_data={
        "apt_core": ["py.typed"],
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
