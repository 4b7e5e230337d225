"""`python -m dealer` is `maftia-dealer`."""

from __future__ import annotations

from dealer.cli import main

if __name__ == "__main__":
    main()
