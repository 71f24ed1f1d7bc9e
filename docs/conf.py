"""How Sphinx builds these pages. The reference of commands, events, errors and settings is written from the code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from reference_pages import write_pages

project = "chatd"
author = "the chatd developers"
extensions: list[str] = []
html_theme = "furo"
html_title = "chatd"
exclude_patterns = ["_build"]
nitpicky = True

write_pages(Path(__file__).parent / "reference" / "generated")
