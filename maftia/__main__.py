"""`python -m maftia` is the command `maftia`."""

from maftia.cli import main

if __name__ == "__main__":
    main()
