"""The docs site: what mkdocs needs to make one of `docs/`, the README and the program itself. `scripts/docs` builds it."""
