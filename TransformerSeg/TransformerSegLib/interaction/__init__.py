"""How does a click correct it? Scores kept for clicks, the correction, and what undoes it."""
