"""Cases that run inside a guest; each ``case_*.py`` file is collected by pytest on the host."""
